# SPDX-License-Identifier: Apache-2.0
"""Messages become frames, or are rejected with a reason; never guessed, never a crash."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('rclpy', reason='needs ROS 2')

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry import se3
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.frame_builder import FrameBuilder
from flowcam_ros.ros.inputs import Packet
from flowcam_ros.sequences.image_messages import DEPTH_ENCODINGS, IMAGE_ENCODINGS, decode_image

WIDTH, HEIGHT, FOCAL = 64, 48, 80.0
TOPICS = {
    role: f'/robot/{role}'
    for role in (
        'image', 'camera_info', 'depth/image', 'depth/camera_info', 'right/image',
        'right/camera_info', 'mask',
    )
}  # fmt: skip


def info(width: int = WIDTH, height: int = HEIGHT, tx: float = 0.0, **changes: Any) -> CameraInfo:
    message = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
    cx, cy = (width - 1) / 2, (height - 1) / 2
    message.k = np.array([FOCAL, 0, cx, 0, FOCAL, cy, 0, 0, 1.0])
    message.p = np.array([FOCAL, 0, cx, tx, 0, FOCAL, cy, 0, 0, 0, 1.0, 0])
    message.d = [0.0] * 5
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def picture(array: np.ndarray, encoding: str, frame: str = 'camera') -> Image:
    height, width = array.shape[:2]
    message = Image(height=height, width=width, encoding=encoding)
    message.step = array[0].nbytes
    message.header.frame_id, message.header.stamp.sec = frame, 5
    message.data.frombytes(np.ascontiguousarray(array).tobytes())
    return message


def colour() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def builder(latest: dict[str, Any] | None = None, **options: Any) -> FrameBuilder:
    config = dataclasses.replace(OdometryNodeConfig(), **options)
    known = {'camera_info': info()} if latest is None else latest
    shift = se3.exp(np.array([0.1, 0, 0, 0, 0, 0]))
    return FrameBuilder(config, TOPICS, known, lambda *_: shift)


@pytest.mark.parametrize('name', IMAGE_ENCODINGS)
def test_live_pictures_equal_those_read_from_a_bag(name: str) -> None:
    kind = IMAGE_ENCODINGS[name]
    rng = np.random.default_rng(1)
    shape = (HEIGHT, WIDTH, kind.channels)
    array = rng.integers(0, np.iinfo(kind.type).max, shape).astype(kind.type)
    message = picture(array, name)
    frame = builder().build(Packet(message))
    assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
    assert (frame.image == decode_image(message)).all()
    assert frame.camera.fx == FOCAL
    assert (frame.stamp_ns, frame.frame_id) == (5 * 10**9, 'camera')


def test_compressed_pictures() -> None:
    ok, data = cv2.imencode('.png', colour())
    message = CompressedImage(format='bgr8; png compressed bgr8', data=data.tobytes())
    message.header.frame_id, message.header.stamp.sec = 'camera', 5
    frame = builder(image_transport='compressed').build(Packet(message))
    assert ok and (frame.image == colour()).all()


@pytest.mark.parametrize('name', DEPTH_ENCODINGS)
def test_depth_in_the_frame_of_the_image_shares_its_camera(name: str) -> None:
    raw = np.full((HEIGHT, WIDTH), 1500 if name != '32FC1' else 1.5)
    raw[0, 0] = 0 if name != '32FC1' else np.nan
    depth = picture(raw.astype(DEPTH_ENCODINGS[name].type), name)
    frame = builder().build(Packet(picture(colour(), 'bgr8'), depth=depth))
    assert frame.depth is not None
    assert frame.depth.depth[1, 1] == pytest.approx(1.5)
    assert frame.depth.depth[0, 0] == 0.0
    assert frame.depth.camera == frame.camera
    assert (frame.depth.color_from_depth == np.eye(4)).all()


def test_depth_of_half_the_size_gets_scaled_intrinsics() -> None:
    depth = picture(np.ones((HEIGHT // 2, WIDTH // 2), np.float32), '32FC1')
    frame = builder().build(Packet(picture(colour(), 'bgr8'), depth=depth))
    assert frame.depth is not None
    assert frame.depth.camera.fx == FOCAL / 2


def test_depth_in_another_frame_needs_its_own_calibration_and_place() -> None:
    depth = picture(np.ones((HEIGHT, WIDTH), np.float32), '32FC1', frame='depth_camera')
    packet = Packet(picture(colour(), 'bgr8'), depth=depth)
    with pytest.raises(FrameRejected, match='/robot/depth/camera_info') as refused:
        builder().build(packet)
    assert refused.value.reason == 'depth/camera_info'
    frame = builder({'camera_info': info(), 'depth/camera_info': info()}).build(packet)
    assert frame.depth is not None
    assert frame.depth.color_from_depth[0, 3] == pytest.approx(0.1)


def test_stereo_pair_and_its_baseline() -> None:
    left, right = picture(colour(), 'bgr8'), picture(colour(), 'bgr8')
    latest = {'camera_info': info(), 'right/camera_info': info(tx=-FOCAL * 0.12)}
    frame = builder(latest).build(Packet(left, right=right))
    assert frame.right is not None and frame.right.baseline == pytest.approx(0.12)
    with pytest.raises(FrameRejected, match='baseline'):
        builder({**latest, 'right/camera_info': info()}).build(Packet(left, right=right))
    with pytest.raises(FrameRejected, match='no camera_info on /robot/right/camera_info'):
        builder().build(Packet(left, right=right))


def test_pictures_named_rectified_go_with_p() -> None:
    """image_proc sends image_rect beside the camera_info of the raw picture, D and all."""
    bent = {'d': [-0.3, 0.1, 0.0, 0.0, 0.0], 'k': np.array([50, 0, 9, 0, 50, 9, 0, 0, 1.0])}
    latest = {'camera_info': info(**bent), 'right/camera_info': info(tx=-FOCAL * 0.12, **bent)}
    packet = Packet(picture(colour(), 'bgr8'), right=picture(colour(), 'bgr8'))
    raw = builder(latest).build(packet)
    assert raw.camera.is_distorted and raw.camera.fx == 50.0
    named = {**TOPICS, 'image': '/left/image_rect', 'right/image': '/right/image_rect/compressed'}
    frame = FrameBuilder(OdometryNodeConfig(), named, latest, lambda *_: np.eye(4)).build(packet)
    assert frame.right is not None
    for camera in (frame.camera, frame.right.camera):
        assert not camera.is_distorted and camera.fx == FOCAL


def test_mask_is_true_where_not_zero_and_must_fit() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, :5] = 7
    packet = Packet(picture(colour(), 'bgr8'))
    frame = builder({'camera_info': info(), 'mask': picture(mask, 'mono8')}).build(packet)
    assert frame.mask is not None
    assert frame.mask.sum() == 5 * HEIGHT and frame.mask[0, 0] and not frame.mask[0, 9]
    small = picture(np.ones((16, 16), np.uint8), 'mono8')
    with pytest.raises(FrameRejected, match='/robot/mask has 16x16 pixels'):
        builder({'camera_info': info(), 'mask': small}).build(packet)


@pytest.mark.parametrize(
    ('latest', 'words'),
    [
        ({}, 'no camera_info on /robot/camera_info'),
        ({'camera_info': info(k=np.zeros(9))}, 'not calibrated'),
        ({'camera_info': info(k=np.full(9, np.nan))}, 'NaN'),
        ({'camera_info': info(31, 24)}, '31x24'),
        ({'camera_info': info(distortion_model='fov', d=[0.1])}, "'fov' is not supported"),
        ({'camera_info': info(d=[0.1, 0.2])}, 'coefficients'),
    ],
    ids=['missing', 'uncalibrated', 'nan', 'size', 'model', 'length'],
)
def test_an_unusable_calibration_is_named(latest: dict[str, Any], words: str) -> None:
    with pytest.raises(FrameRejected, match=words) as refused:
        builder(latest).build(Packet(picture(colour(), 'bgr8')))
    assert refused.value.reason == 'camera_info'
    assert '/robot/camera_info' in str(refused.value)


def test_a_calibration_that_changes_is_taken_over() -> None:
    latest = {'camera_info': info()}
    build = builder(latest).build
    packet = Packet(picture(colour(), 'bgr8'))
    first = build(packet).camera
    latest['camera_info'] = info()
    assert build(packet).camera is first
    latest['camera_info'].k[0] = 50.0
    assert build(packet).camera.fx == 50.0


def test_zero_stamp_and_missing_frame_are_refused() -> None:
    unstamped = picture(colour(), 'bgr8')
    unstamped.header.stamp.sec = 0
    with pytest.raises(FrameRejected, match='stamp of the image is zero'):
        builder().build(Packet(unstamped))
    nameless = Packet(picture(colour(), 'bgr8', frame=''))
    with pytest.raises(FrameRejected, match='frame_id of image and camera_info is empty'):
        builder().build(nameless)
    known = info()
    known.header.frame_id = 'from_info'
    assert builder({'camera_info': known}).build(nameless).frame_id == 'from_info'


@settings(max_examples=200)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([*IMAGE_ENCODINGS, *DEPTH_ENCODINGS, '', 'nonsense', '64FC4']),
    st.binary(max_size=2000),
    st.booleans(),
)
def test_malformed_messages_are_rejected_and_nothing_else(
    width: int, height: int, step: int, encoding: str, data: bytes, as_depth: bool
) -> None:
    message = Image(width=width, height=height, step=step, encoding=encoding)
    message.header.frame_id, message.header.stamp.sec = 'camera', 5
    message.data.frombytes(data)
    packet = Packet(picture(colour(), 'bgr8'), depth=message) if as_depth else Packet(message)
    with pytest.raises(FrameRejected):
        builder().build(packet)
