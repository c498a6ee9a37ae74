# SPDX-License-Identifier: Apache-2.0
"""Image messages: what is accepted, what comes out, and that nothing else ever happens."""

from __future__ import annotations

import array
import struct
import tracemalloc
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.errors import FrameRejected
from flowcam_ros.sequences.encodings import DEPTH_ENCODINGS, IMAGE_ENCODINGS
from flowcam_ros.sequences.image_messages import (
    check_depth,
    check_image,
    decode_depth,
    decode_image,
)

WIDTH, HEIGHT = 64, 48
# Every name of sensor_msgs/image_encodings.hpp.
SENSOR_MSGS_ENCODINGS = [
    *('rgb8', 'rgba8', 'rgb16', 'rgba16', 'bgr8', 'bgra8', 'bgr16', 'bgra16', 'mono8', 'mono16'),
    *(
        f'{bits}{kind}C{n}'
        for bits, kind in ((8, 'U'), (8, 'S'), (16, 'U'), (16, 'S'))
        for n in range(1, 5)
    ),
    *(
        f'{bits}{kind}C{n}'
        for bits, kind in ((32, 'S'), (32, 'F'), (64, 'F'))
        for n in range(1, 5)
    ),
    *(
        f'bayer_{pattern}{bits}'
        for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')
        for bits in (8, 16)
    ),
    *('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv21', 'nv24'),
]


@pytest.fixture(scope='module')
def picture():
    """Return a smooth BGR picture, so that chroma subsampling and demosaicing change little."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    channels = [40 + 150 * x, 60 + 120 * y, 200 - 80 * x * y]
    return np.dstack(channels).astype(np.uint8)


def mosaic(bgr, pattern):
    """Return the Bayer mosaic of a picture; the pattern names its first two rows."""
    channel = {'b': 0, 'g': 1, 'r': 2}
    raw = np.zeros(bgr.shape[:2], np.uint8)
    for i, color in enumerate(pattern):
        row, column = divmod(i, 2)
        raw[row::2, column::2] = bgr[row::2, column::2, channel[color]]
    return raw


def yuv(bgr, order):
    """Return packed 4:2:2 pixels (BT.601, 16-235) in the byte order uyvy or yuyv."""
    b, g, r = (bgr[..., i] / 255.0 for i in range(3))
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u = (128 - 37.797 * r - 74.203 * g + 112.0 * b)[:, ::2]
    v = (128 + 112.0 * r - 93.786 * g - 18.214 * b)[:, ::2]
    packed = np.zeros((HEIGHT, WIDTH, 2), np.uint8)
    luma, chroma = (1, 0) if order == 'uyvy' else (0, 1)
    packed[..., luma] = y
    packed[:, ::2, chroma], packed[:, 1::2, chroma] = u, v
    return packed


def encoded(bgr, encoding):
    """Return the picture as that encoding stores it, and what decoding should about give."""
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    wide = np.uint16(257)
    stored = {
        'mono8': grey,
        '8UC1': grey,
        'mono16': grey * wide,
        'bgr8': bgr,
        '8UC3': bgr,
        'rgb8': rgb,
        'bgra8': np.dstack([bgr, grey]),
        'rgba8': np.dstack([rgb, grey]),
        'bgr16': bgr * wide,
        'rgb16': rgb * wide,
        'yuv422': yuv(bgr, 'uyvy'),
        'uyvy': yuv(bgr, 'uyvy'),
        'yuv422_yuy2': yuv(bgr, 'yuyv'),
        'yuyv': yuv(bgr, 'yuyv'),
    }
    if encoding.startswith('bayer'):
        return mosaic(bgr, encoding[6:10]), bgr
    return stored[encoding], grey if encoding in ('mono8', '8UC1', 'mono16') else bgr


@pytest.mark.parametrize('encoding', IMAGE_ENCODINGS)
def test_each_accepted_encoding_gives_the_picture(encoding, picture, messages):
    stored, expected = encoded(picture, encoding)
    image = decode_image(messages.image(encoding, stored.tobytes()))
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.shape == expected.shape
    exact = not encoding.startswith(('bayer', 'yu', 'uyvy'))
    difference = np.abs(image[2:-2, 2:-2].astype(int) - expected[2:-2, 2:-2])
    assert difference.max() <= (0 if exact else 12)


@pytest.mark.parametrize(
    'encoding', [e for e in SENSOR_MSGS_ENCODINGS if e not in IMAGE_ENCODINGS]
)
def test_other_encodings_are_refused_with_the_list_of_accepted_ones(encoding, messages):
    with pytest.raises(FrameRejected, match='encoding') as error:
        decode_image(messages.image(encoding, bytes(WIDTH * HEIGHT * 8)))
    assert error.value.reason == 'encoding'
    assert repr(encoding) in str(error.value) and 'bayer_rggb8, ' in str(error.value)


@pytest.mark.parametrize(
    'encoding', [e for e in SENSOR_MSGS_ENCODINGS if e not in DEPTH_ENCODINGS]
)
def test_other_encodings_are_no_depth(encoding, messages):
    with pytest.raises(FrameRejected) as error:
        decode_depth(messages.image(encoding, bytes(WIDTH * HEIGHT * 8)))
    assert error.value.reason == 'encoding' and '16UC1, mono16, 32FC1' in str(error.value)


def test_big_endian_values_are_swapped(messages):
    values = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 21
    big = decode_image(messages.image('mono16', values.astype('>u2').tobytes(), big_endian=1))
    small = decode_image(messages.image('mono16', values.tobytes()))
    assert np.array_equal(big, small)
    metres = np.linspace(0.5, 9, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    depth = decode_depth(messages.image('32FC1', metres.astype('>f4').tobytes(), big_endian=1))
    assert np.array_equal(depth, metres)


def test_padded_rows_are_cut_off(picture, messages):
    padded = np.full((HEIGHT, WIDTH * 3 + 10), 255, np.uint8)
    padded[:, : WIDTH * 3] = picture.reshape(HEIGHT, -1)
    image = decode_image(messages.image('bgr8', padded.tobytes()))
    assert np.array_equal(image, picture) and image.flags.c_contiguous


def test_plain_pictures_are_not_copied(picture, messages):
    data = np.ascontiguousarray(picture).reshape(-1)
    assert np.shares_memory(decode_image(messages.image('bgr8', data)), data)


def test_any_buffer_will_do(picture, messages):
    for data in (
        picture.tobytes(),
        bytearray(picture.tobytes()),
        array.array('B', picture.tobytes()),
        memoryview(picture.tobytes()),
        picture.reshape(-1),
    ):
        assert np.array_equal(decode_image(messages.image('bgr8', data, step=WIDTH * 3)), picture)


def test_sixteen_bit_depth_is_in_millimetres(messages):
    raw = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    depth = decode_depth(messages.image('16UC1', raw.tobytes()))
    assert depth.dtype == np.float32 and depth[0, 0] == 0
    assert np.array_equal(depth, raw / np.float32(1000))


def test_unknown_float_depth_becomes_zero(messages):
    raw = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    raw[0, :5] = [np.nan, np.inf, -np.inf, -1.0, 0.0]
    depth = decode_depth(messages.image('32FC1', raw.tobytes()))
    assert not depth[0, :5].any() and np.all(depth[1:] == 2.0) and np.isfinite(depth).all()


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'width': 0}, 'size'),
        ({'width': 1, 'height': 1}, 'size'),
        ({'width': 15}, 'size'),
        ({'height': -3}, 'size'),
        ({'width': 2**31, 'height': 2**31}, 'size'),
        ({'step': 3 * WIDTH - 1}, 'step'),
        ({'step': 3 * WIDTH + 1}, 'data'),
        ({'data': bytes(100)}, 'data'),
        ({'data': bytes(3 * WIDTH * HEIGHT + 1)}, 'data'),
        ({'data': b''}, 'data'),
        ({'data': None}, 'message'),
        ({'data': ['x'] * (3 * WIDTH * HEIGHT)}, 'data'),
        ({'width': 'wide'}, 'message'),
        ({'width': 64.0}, 'message'),
        ({'encoding': None}, 'encoding'),
        ({'encoding': []}, 'encoding'),
        ({'is_bigendian': 'no'}, 'message'),
    ],
)
def test_false_claims_are_refused(change, reason, messages):
    message = messages.image('bgr8', bytes(WIDTH * HEIGHT * 3))
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(FrameRejected) as error:
        decode_image(message)
    assert error.value.reason == reason


def test_odd_width_of_paired_pixels_is_refused(messages):
    with pytest.raises(FrameRejected, match='even'):
        check_image(messages.image('yuv422', bytes(65 * 2 * HEIGHT), width=65))


def test_a_message_without_fields_is_refused():
    for check in (check_image, check_depth):
        with pytest.raises(FrameRejected, match='not a sensor_msgs/Image'):
            check(SimpleNamespace())


def test_huge_claims_allocate_nothing(messages):
    tracemalloc.start()
    try:
        for width, height, step in (
            (2**16, 2**16, 2**18),
            (8192, 8192, 24576),
            (2**31, 20, 2**33),
        ):
            with pytest.raises(FrameRejected):
                decode_image(messages.image('bgr8', b'12', width, height, step))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


sizes = st.one_of(st.integers(0, 70), st.integers(-(2**31), 2**32), st.sampled_from([2**16, 8192]))
names = st.one_of(
    st.sampled_from([*IMAGE_ENCODINGS, *DEPTH_ENCODINGS, *SENSOR_MSGS_ENCODINGS]),
    st.text(max_size=8),
)


@settings(max_examples=3000, deadline=None)
@given(
    encoding=names,
    width=sizes,
    height=sizes,
    step=sizes,
    truthful=st.integers(0, 3),
    big_endian=st.integers(-1, 255),
    seed=st.binary(max_size=64),
)
def test_malformed_messages_raise_nothing_but_frame_rejected(
    encoding, width, height, step, truthful, big_endian, seed, messages
):
    known = IMAGE_ENCODINGS.get(encoding) or DEPTH_ENCODINGS.get(encoding)
    if known and truthful >= 1 and 0 < width < 100:
        step = width * known.bytes_per_pixel + truthful - 1
    size = step * height if truthful >= 2 and 0 <= step * height < 10**6 else len(seed)
    data = (seed * (size // max(len(seed), 1) + 1))[:size] if seed else bytes(size)
    message = messages.image(encoding, data, width, height, step, big_endian)
    for decode in (decode_image, decode_depth):
        try:
            result = decode(message)
        except FrameRejected as error:
            assert error.reason and '\n' not in str(error)
        else:
            assert result.shape[:2] == (height, width)
            assert np.isfinite(result).all()


def test_the_table_knows_the_bytes_of_a_pixel():
    assert IMAGE_ENCODINGS['rgb16'].bytes_per_pixel == 6
    assert struct.calcsize('f') == DEPTH_ENCODINGS['32FC1'].bytes_per_pixel
