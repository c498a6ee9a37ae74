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
def test_principal_points_that_differ_shift_the_disparity(reduced: int) -> None:
    """Rectified pairs need not share cx: the disparity at infinity is then not zero."""
    matrix = np.array([[1, 0, -20.0], [0, 1, 0]], np.float32)
    right = cv2.warpAffine(left_image(), matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)
    moved = dataclasses.replace(CAMERA, cx=CAMERA.cx - 8.0)
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
