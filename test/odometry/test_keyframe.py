# SPDX-License-Identifier: Apache-2.0
"""Key frames: which points they follow and what they know of their depth."""

import cv2
import numpy as np

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths, look_up, make_keyframe

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)


def frame() -> PreparedFrame:
    noise = np.random.default_rng(0).normal(size=(240, 320)).astype(np.float32)
    blurred = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 12.0))
    image = cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return FramePreparer(10**6).prepare(Frame(0, image, CAMERA))


def depth_of(camera: CameraModel, inverse: np.ndarray) -> DepthEstimate:
    variance = np.where(inverse > 0, np.float32(1e-4), np.float32(np.inf))
    image = np.zeros((camera.height, camera.width), np.uint8)
    return DepthEstimate(0, camera, inverse.astype(np.float32), variance, image)


def keyframe(inverse: np.ndarray, followed: PointDepths | None = None) -> Keyframe:
    return make_keyframe(frame(), depth_of(CAMERA, inverse), followed, np.eye(4), np.eye(6), 500)


def test_points_have_depth_where_depth_is_measured() -> None:
    inverse = np.full((240, 320), 0.5)
    inverse[:, 160:] = 0.0
    result = keyframe(inverse)
    assert len(result) > 100
    assert result.points.pixels[:, 0].max() < 160
    np.testing.assert_array_equal(result.points.inverse_depth, np.float32(0.5))
    assert (result.texture > 0).all()


def test_points_that_are_followed_go_on_with_what_is_known_of_them() -> None:
    first = keyframe(np.full((240, 320), 0.5))
    known = PointDepths(
        first.points.pixels[:50] + np.float32(0.3),
        np.full(50, 0.25, np.float32),
        np.full(50, 1e-6, np.float32),
    )
    result = keyframe(np.full((240, 320), 0.5), known)
    kept = result.points.inverse_depth == np.float32(0.25)
    assert 30 < kept.sum() <= 50  # some share a cell, of which the best known stays
    assert abs(len(result) - len(first)) < 60


def test_a_blank_frame_has_no_points() -> None:
    blank = FramePreparer(10**6).prepare(Frame(0, np.full((240, 320), 90, np.uint8), CAMERA))
    depth = depth_of(CAMERA, np.full((240, 320), 0.5))
    assert len(make_keyframe(blank, depth, None, np.eye(4), np.eye(6), 500)) == 0


def test_look_up_in_a_map_of_half_the_size() -> None:
    half = CAMERA.resized(160, 120)
    inverse = np.arange(160 * 120, dtype=np.float32).reshape(120, 160) + 1
    pixels = np.array([[0, 0], [1, 1], [2, 0], [319, 239], [100.6, 50.2]], np.float32)
    found, _ = look_up(depth_of(half, inverse), pixels, CAMERA)
    rows, columns = [0, 0, 0, 119, 25], [0, 0, 1, 159, 50]
    np.testing.assert_array_equal(found, inverse[rows, columns])
