# SPDX-License-Identifier: Apache-2.0
"""Images in messages and arrays, in every encoding."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
NAMED = {
    'mono8': ('u1', 1),
    'mono16': ('u2', 1),
    'bgr8': ('u1', 3),
    'rgb8': ('u1', 3),
    'bgra8': ('u1', 4),
    'rgba8': ('u1', 4),
    'bgr16': ('u2', 3),
    'rgb16': ('u2', 3),
    'bgra16': ('u2', 4),
    'rgba16': ('u2', 4),
    **{f'bayer_{order}8': ('u1', 1) for order in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{order}16': ('u2', 1) for order in ('rggb', 'bggr', 'gbrg', 'grbg')},
    'yuv422': ('u1', 2),
    'yuv422_yuy2': ('u1', 2),
}
TYPES = {
    '8U': 'u1',
    '8S': 'i1',
    '16U': 'u2',
    '16S': 'i2',
    '32S': 'i4',
    '32F': 'f4',
    '64F': 'f8',
}
GENERIC = {f'{name}C{n}': (dtype, n) for name, dtype in TYPES.items() for n in range(1, 5)}
ENCODINGS = NAMED | GENERIC


def picture(dtype: str, channels: int, height: int = 6, width: int = 8) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    values = np.random.default_rng(3).integers(0, 100, shape)
    return values.astype(dtype)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_every_encoding_comes_back_as_it_went(encoding) -> None:
    image = picture(*ENCODINGS[encoding])
    header = Header(frame_id='camera')
    message = BRIDGE.cv2_to_imgmsg(image, encoding, header)
    assert (message.height, message.width, message.encoding) == (6, 8, encoding)
    assert message.step == image.nbytes // 6
    assert message.header.frame_id == 'camera'
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1', '32FC1', 'rgb16', '64FC2'])
def test_big_endian_images_are_turned_to_this_machines_order(encoding) -> None:
    dtype, channels = ENCODINGS[encoding]
    image = picture(dtype, channels)
    message = BRIDGE.cv2_to_imgmsg(image, encoding)
    message.data = np.ascontiguousarray(image.astype(image.dtype.newbyteorder('>'))).tobytes()
    message.is_bigendian = 1
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, image)


def test_padding_at_the_end_of_rows_is_left_out() -> None:
    image = picture('u1', 3)
    padded = np.zeros((6, 32), np.uint8)
    padded[:, :24] = image.reshape(6, 24)
    message = Image(height=6, width=8, encoding='bgr8', step=32, data=padded.tobytes())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), image)


def test_part_of_a_larger_array_can_be_sent() -> None:
    image = picture('u1', 3, 12, 16)[::2, 3:11]
    message = BRIDGE.cv2_to_imgmsg(image, 'bgr8')
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), image)


@pytest.mark.parametrize(
    ('source', 'target', 'code'),
    [
        ('rgb8', 'bgr8', cv2.COLOR_RGB2BGR),
        ('bgr8', 'mono8', cv2.COLOR_BGR2GRAY),
        ('mono8', 'rgb8', cv2.COLOR_GRAY2RGB),
        ('bgra8', 'bgr8', cv2.COLOR_BGRA2BGR),
        ('rgba8', 'mono8', cv2.COLOR_RGBA2GRAY),
        ('bayer_rggb8', 'bgr8', cv2.COLOR_BayerBG2BGR),
        ('bayer_bggr8', 'mono8', cv2.COLOR_BayerRG2GRAY),
        ('bayer_gbrg8', 'rgb8', cv2.COLOR_BayerGR2RGB),
        ('bayer_grbg16', 'bgr16', cv2.COLOR_BayerGB2BGR),
        ('yuv422', 'bgr8', cv2.COLOR_YUV2BGR_UYVY),
        ('yuv422_yuy2', 'mono8', cv2.COLOR_YUV2GRAY_YUYV),
    ],
)
def test_colours_are_converted(source, target, code) -> None:
    image = picture(*ENCODINGS[source])
    back = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, source), target)
    np.testing.assert_array_equal(back, cv2.cvtColor(image, code))


def test_a_red_picture_stays_red_through_a_bayer_pattern() -> None:
    mosaic = np.zeros((16, 16), np.uint8)
    mosaic[::2, ::2] = 200
    back = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(mosaic, 'bayer_rggb8'), 'rgb8')
    assert back[4:12, 4:12].reshape(-1, 3).min(axis=0).tolist() == [200, 0, 0]


def test_white_stays_white_between_8_and_16_bits() -> None:
    wide = BRIDGE.cv2_to_imgmsg(np.array([[0, 65535]], np.uint16), 'mono16')
    assert BRIDGE.imgmsg_to_cv2(wide, 'mono8').tolist() == [[0, 255]]
    assert BRIDGE.imgmsg_to_cv2(wide, 'bgr8').tolist() == [[[0, 0, 0], [255, 255, 255]]]
    narrow = BRIDGE.cv2_to_imgmsg(np.array([[0, 255]], np.uint8), 'mono8')
    assert BRIDGE.imgmsg_to_cv2(narrow, 'mono16').tolist() == [[0, 65535]]


def test_numbers_keep_their_value_between_types() -> None:
    depth = BRIDGE.cv2_to_imgmsg(np.array([[0, 1500]], np.uint16), '16UC1')
    assert BRIDGE.imgmsg_to_cv2(depth, '32FC1').tolist() == [[0.0, 1500.0]]


@pytest.mark.parametrize(
    ('source', 'target'),
    [('16UC1', 'bgr8'), ('8UC1', 'mono8'), ('bgr8', '8UC1'), ('bgr8', 'bayer_rggb8')],
)
def test_a_conversion_without_sense_is_an_error(source, target) -> None:
    message = BRIDGE.cv2_to_imgmsg(picture(*ENCODINGS[source]), source)
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(message, target)


@pytest.mark.parametrize(
    ('image', 'encoding', 'error'),
    [
        (picture('u1', 3), 'mono8', CvBridgeError),
        (picture('u2', 1), 'mono8', CvBridgeError),
        (picture('u1', 1), 'nothing8', CvBridgeError),
        ([[1, 2]], 'mono8', TypeError),
    ],
)
def test_an_array_that_does_not_suit_its_encoding_is_an_error(image, encoding, error) -> None:
    with pytest.raises(error):
        BRIDGE.cv2_to_imgmsg(image, encoding)


def test_a_claim_without_data_reads_nothing() -> None:
    message = Image(height=2**28, width=2**20, step=2**20, encoding='8UC1')
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(message, '32FC1')


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(0, 2**32 - 1) | st.integers(0, 20),
    width=st.integers(0, 2**32 - 1) | st.integers(0, 20),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 100),
    encoding=st.sampled_from(sorted(ENCODINGS)) | st.text(max_size=12),
    big=st.integers(0, 255),
    data=st.binary(max_size=400),
    target=st.sampled_from(['passthrough', 'bgr8', 'mono8', '32FC1']),
)
def test_a_malformed_image_is_an_error_of_the_bridge(
    height, width, step, encoding, big, data, target
) -> None:
    message = Image(height=height, width=width, step=step, encoding=encoding)
    message.is_bigendian = big
    message.data = data
    try:
        image = BRIDGE.imgmsg_to_cv2(message, target)
    except CvBridgeError:
        return
    assert image.shape[:2] == (height, width)


@pytest.mark.parametrize('dst_format', ['png', 'jpg'])
def test_compressed_images_come_back(dst_format) -> None:
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    message = BRIDGE.cv2_to_compressed_imgmsg(image, dst_format)
    assert message.format == dst_format
    back = BRIDGE.compressed_imgmsg_to_cv2(message)
    np.testing.assert_allclose(back, image, atol=0 if dst_format == 'png' else 3)
    swapped = BRIDGE.compressed_imgmsg_to_cv2(message, 'rgb8')
    np.testing.assert_array_equal(swapped, back[:, :, ::-1])


def test_what_is_no_compressed_image_gives_nothing() -> None:
    assert BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(data=b'not an image')) is None


def test_images_are_neither_copied_nor_checked_value_by_value() -> None:
    image = np.zeros((1080, 1920, 3), np.uint8)
    begin = time.perf_counter()
    for _ in range(5):
        message = BRIDGE.cv2_to_imgmsg(image, 'bgr8')
        BRIDGE.imgmsg_to_cv2(message)
    # Value by value it takes a second for each image.
    assert time.perf_counter() - begin < 1.0
    view = BRIDGE.imgmsg_to_cv2(message)
    message.data[0] = 7
    assert view[0, 0, 0] == 7
