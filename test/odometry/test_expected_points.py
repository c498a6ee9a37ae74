# SPDX-License-Identifier: Apache-2.0
"""Where points are expected, and which matches count for nothing."""

import cv2
import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.correspondence.points import RefinedPoints
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.expected_points import expected_pixels, known_pixels, surprise, textured
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.scene_flow import Correspondences

CAMERA = CameraModel(320, 240, 250.0, 240.0, 155.0, 122.0)
MOTION = se3.exp(np.array([0.1, -0.05, 0.2, 0.03, -0.04, 0.05]))
PIXELS = np.array([[40, 30], [155, 122], [300, 200], [80, 220], [250, 15]], np.float32)
INVERSE = np.array([0.5, 1.0, 0.25, 0.8, 0.4], np.float32)


def prepared(image: np.ndarray) -> PreparedFrame:
    return FramePreparer(10**6).prepare(Frame(0, image, CAMERA))


def keyframe(inverse: np.ndarray = INVERSE, sigma_share: float | np.ndarray = 0.05) -> Keyframe:
    """Return a key frame with five points, depths known to a share of themselves."""
    frame = prepared(np.zeros((240, 320), np.uint8))
    dense = np.full((240, 320), 0.5, np.float32)
    depth = DepthEstimate(0, CAMERA, dense, dense, frame.image)
    variance = ((sigma_share * inverse) ** 2).astype(np.float32)
    points = PointDepths(PIXELS, inverse, variance)
    return Keyframe(frame, depth, np.eye(4), np.eye(6), points, np.ones(5, np.float32))


def true_pixels(inverse: np.ndarray, pose: np.ndarray) -> np.ndarray:
    points = cv2.convertPointsToHomogeneous(
        (PIXELS - (CAMERA.cx, CAMERA.cy)) / (CAMERA.fx, CAMERA.fy)
    )[:, 0]
    there = (points / inverse[:, None]) @ pose[:3, :3].T + pose[:3, 3]
    seen = there @ CAMERA.matrix.T
    return seen[:, :2] / seen[:, 2:]


def test_points_are_expected_where_pose_and_depth_put_them() -> None:
    found = expected_pixels(keyframe(), MOTION)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, true_pixels(INVERSE, MOTION), atol=1e-3)


def test_points_behind_the_camera_are_expected_out_of_the_picture() -> None:
    forward = se3.from_rotation_translation(np.eye(3), np.array([0.0, 0.0, -2.2]))
    found = expected_pixels(keyframe(), forward)
    behind = 1.0 / INVERSE < 2.2
    assert behind.any() and not behind.all()
    outside = (found < 0).any(1) | (found >= (CAMERA.width, CAMERA.height)).any(1)
    assert outside[behind].all()
    np.testing.assert_allclose(
        found[~behind], true_pixels(INVERSE, forward)[~behind], rtol=1e-4, atol=1e-3
    )


def test_points_whose_depth_is_hardly_known_stay_where_they_were_guessed() -> None:
    share = np.array([0.05, 0.5, 0.05, 0.2, np.inf], np.float32)
    guess = PIXELS + np.float32(3.0)
    found = known_pixels(keyframe(sigma_share=share), MOTION, guess)
    known = np.array([True, False, True, False, False])
    np.testing.assert_allclose(found[known], true_pixels(INVERSE, MOTION)[known], atol=1e-3)
    np.testing.assert_array_equal(found[~known], guess[~known])


def test_points_behind_the_camera_stay_where_they_were_guessed() -> None:
    backward = np.diag([-1.0, 1.0, -1.0, 1.0])
    guess = PIXELS + np.float32(3.0)
    np.testing.assert_array_equal(known_pixels(keyframe(), backward, guess), guess)


def alignment_of(target: np.ndarray, kept: np.ndarray) -> Alignment:
    none = torch.zeros(len(target), dtype=torch.float64)
    at = torch.from_numpy(target).double()
    return Alignment(
        flow=DenseFlow(lambda: np.zeros((1, 1, 2), np.float32)),
        points=Correspondences(at, at, *(none,) * 5),
        kept=kept,
        followed=len(kept),
        matched=len(target),
        inliers=0,
        target_from_source=np.eye(4),
        covariance=None,
    )


def test_surprise_is_the_median_distance_from_the_guess() -> None:
    kept = np.array([True, False, True, False, True])
    moved = np.array([[3, 4], [0, 0], [0, 1], [0, 0], [30, 40]], np.float32)
    assert surprise(PIXELS, alignment_of((PIXELS + moved)[kept], kept)) == pytest.approx(5.0)


def test_no_match_at_all_is_the_greatest_surprise() -> None:
    nothing = alignment_of(np.zeros((0, 2), np.float32), np.zeros(5, bool))
    assert surprise(PIXELS, nothing) == float('inf')


def matches(target: np.ndarray, valid: np.ndarray) -> RefinedPoints:
    return RefinedPoints(target, np.ones(len(target), np.float32), valid)


def test_matches_on_a_blank_target_are_dropped() -> None:
    """Also on one with the noise of a camera in the dark; its slopes are no texture."""
    noise = np.random.default_rng(0).normal(30.0, 3.0, (240, 320))
    for image in (np.full((240, 320), 90, np.uint8), noise.clip(0, 255).astype(np.uint8)):
        left = textured(matches(PIXELS, np.ones(5, bool)), prepared(image))
        assert not left.valid.any()


def test_matches_on_texture_stay_unless_they_were_lost_before() -> None:
    image = np.full((240, 320), 90, np.uint8)
    squares = np.random.default_rng(1).integers(0, 255, (30, 20), np.uint8)
    image[:, :160] = cv2.resize(squares, (160, 240), interpolation=cv2.INTER_NEAREST)
    corners = np.array([[79.6, 79.7], [79.6, 79.7], [280, 120], [-5e5, 1e9]], np.float32)
    before = matches(corners, np.array([True, False, True, True]))
    left = textured(before, prepared(image))
    np.testing.assert_array_equal(left.valid[:3], [True, False, False])
    np.testing.assert_array_equal(left.target, corners)
