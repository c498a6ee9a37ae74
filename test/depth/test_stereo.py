# SPDX-License-Identifier: Apache-2.0
"""Stereo depth: right for a known disparity, refused in words when the pair does not fit."""

import dataclasses

import cv2
import numpy as np
import pytest

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.stereo import StereoDepth
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame, StereoImage
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.sequences.synthetic import SyntheticOptions, SyntheticSequence

CAMERA = CameraModel(320, 240, 300.0, 300.0, 160.0, 120.0)
BASELINE = 0.1


def left_image() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(240, 320)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def measure(right: StereoImage | None, camera: CameraModel = CAMERA) -> DepthEstimate | None:
    frame = Frame(0, left_image(), camera, right=right)
    return StereoDepth(DepthConfig()).measure(FramePreparer(10**6).prepare(frame))


@pytest.mark.parametrize('disparity', [4.0, 12.0, 30.0])
def test_depth_of_a_flat_wall(disparity: float) -> None:
    matrix = np.array([[1, 0, -disparity], [0, 1, 0]], np.float32)
    right = cv2.warpAffine(left_image(), matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)
    result = measure(StereoImage(right, CAMERA, BASELINE))
    assert result is not None
    z = result.depth()[20:-20, 90:-20]
    assert np.isfinite(z).mean() > 0.8
    assert np.nanmedian(z) == pytest.approx(300.0 * BASELINE / disparity, rel=0.03)
    known = np.isfinite(result.depth())
    assert np.isinf(result.variance[~known]).all()


@pytest.mark.parametrize('reduced', [1, 2])
@pytest.mark.parametrize('infinity', [8.0, -20.0])
def test_principal_points_that_differ_shift_the_disparity(reduced: int, infinity: float) -> None:
    """Rectified pairs need not share cx: the disparity at infinity is then not zero."""
    matrix = np.array([[1, 0, -12.0 - infinity], [0, 1, 0]], np.float32)
    right = cv2.warpAffine(left_image(), matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)
    moved = dataclasses.replace(CAMERA, cx=CAMERA.cx - infinity)
    frame = Frame(0, left_image(), CAMERA, right=StereoImage(right, moved, BASELINE))
    prepared = FramePreparer(320 * 240 // reduced**2).prepare(frame)
    result = StereoDepth(DepthConfig()).measure(prepared)
    assert result is not None
    z = result.depth()[20:-20, 90 // reduced : -20]
    assert np.nanmedian(z) == pytest.approx(300.0 * BASELINE / 12.0, rel=0.03)


def test_a_single_picture_has_no_stereo_depth() -> None:
    assert measure(None) is None


def test_a_right_image_of_another_size_is_refused() -> None:
    small = StereoImage(np.zeros((120, 160), np.uint8), CAMERA, BASELINE)
    with pytest.raises(FrameRejected, match='160x120'):
        measure(small)


def test_unrectified_pairs_are_refused() -> None:
    bent = CameraModel(320, 240, 300, 300, 160, 120, 'plumb_bob', (-0.3, 0.1, 0.0, 0.0, 0.0))
    with pytest.raises(FrameRejected, match='rectified'):
        measure(StereoImage(left_image(), bent, BASELINE), bent)


@pytest.fixture(scope='module')
def room() -> tuple[np.ndarray, DepthEstimate]:
    """Return the true inverse depth of a rendered room, and what the pair gives."""
    options = SyntheticOptions(
        frames=1, width=320, height=240, stereo=True, depth=False, noise=2.0, seed=3
    )
    sequence = SyntheticSequence(options)
    (frame,) = sequence
    result = StereoDepth(DepthConfig()).measure(FramePreparer(10**6).prepare(frame))
    assert result is not None
    return 1.0 / sequence.view(0).depth.astype(np.float64), result


def test_a_room_is_measured_up_to_its_left_border(room: tuple) -> None:
    truth, result = room
    known = result.inverse_depth > 0
    assert known.mean() > 0.75
    # all but what the right camera cannot see
    assert known[:, 32:80].mean() > 0.5
    pixel = 1.0 / (result.camera.fx * 0.12)
    error = np.abs(result.inverse_depth - truth)[known]
    assert np.median(error) < 0.25 * pixel
    assert np.mean(error > pixel) < 0.04


def test_the_variance_is_as_large_as_the_error(room: tuple) -> None:
    truth, result = room
    known = result.inverse_depth > 0
    normalized = (result.inverse_depth - truth)[known] ** 2 / result.variance[known]
    assert 0.2 < np.median(normalized) < 0.9  # 0.45 for a normal distribution
    assert np.mean(normalized > 9.0) < 0.05


def test_variance_is_large_at_steps_and_on_weak_texture() -> None:
    image = left_image()
    image[:, 200:] = 128 + (image[:, 200:].astype(np.int16) - 128) // 16
    x, y = np.meshgrid(np.arange(320, dtype=np.float32), np.arange(240, dtype=np.float32))
    shift = np.where(y < 120, 12.0, 24.0).astype(np.float32)
    right = cv2.remap(image, x + shift, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    frame = Frame(0, image, CAMERA, right=StereoImage(right, CAMERA, BASELINE))
    result = StereoDepth(DepthConfig()).measure(FramePreparer(10**6).prepare(frame))
    assert result is not None
    usual = np.median(result.variance[20:100, 60:180])
    assert np.median(result.variance[119:121, 60:180]) > 50 * usual
    weak = result.variance[20:100, 220:300]
    assert np.median(weak[np.isfinite(weak)]) > 1.1 * usual


def test_a_blank_wall_has_no_depth() -> None:
    """Noise finds matches too; none of them may be believed."""
    rng = np.random.default_rng(0)
    pair = np.clip(128 + rng.normal(scale=3.0, size=(2, 240, 320)), 0, 255).astype(np.uint8)
    frame = Frame(0, pair[0], CAMERA, right=StereoImage(pair[1], CAMERA, BASELINE))
    result = StereoDepth(DepthConfig()).measure(FramePreparer(10**6).prepare(frame))
    assert result is not None
    assert np.mean(result.inverse_depth > 0) < 0.01
