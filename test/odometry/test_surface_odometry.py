# SPDX-License-Identifier: Apache-2.0
"""Pictures that show nothing any more: the geometry of a room holds the pose, or nothing does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rooms import CAMERA, CORNER, WALL, true_inverse
from synthetic_runs import Tracked, track

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.odometry.estimate import TrackingState

STEP = se3.exp(np.array([0.012, -0.004, 0.008, 0.002, 0.008, -0.003]))
COUNT, SEEN = 12, 2


def pictured(show: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Return what a noisy camera makes of a picture, or of a wall without any."""
    plain = np.full((CAMERA.height, CAMERA.width), 120.0) if show is None else show
    return (plain + rng.normal(0.0, 2.0, plain.shape)).clip(0, 255).astype(np.uint8)


def approached(walls: np.ndarray, depth_camera: CameraModel = CAMERA) -> Tracked:
    """Return a run on textured pictures of a camera at rest, then on blank ones while it moves."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (CAMERA.height, CAMERA.width)), (0, 0), 2.0)
    texture = 128.0 + 6.0 * (texture - texture.mean())
    frames, poses = [], []
    for k in range(COUNT):
        pose = np.linalg.matrix_power(STEP, max(k - SEEN + 1, 0))
        inverse = true_inverse(depth_camera, walls, pose)
        inverse += 0.002 * rng.normal(size=inverse.shape)
        picture = pictured(texture if k < SEEN else None, rng)
        depth = DepthImage((1.0 / inverse).astype(np.float32), depth_camera)
        frames.append(Frame(k * 33_333_333, picture, CAMERA, depth))
        poses.append(se3.inverse(pose))
    return track(tuple(frames), np.stack(poses))


@pytest.mark.parametrize(
    'depth_camera',
    [CAMERA, CameraModel(160, 120, 125.0, 125.0, 79.5, 59.5), CAMERA.resized(512, 400)],
    ids=['alike', 'coarse', 'fine'],
)
def test_a_corner_without_texture_holds_the_pose_and_says_so(depth_camera: CameraModel) -> None:
    result = approached(CORNER, depth_camera)
    blank = result.estimates[SEEN:]
    assert {e.state for e in blank} == {TrackingState.DEGRADED}
    assert {e.reason for e in blank} <= {'flow', 'outliers'}
    assert result.errors().max() < 0.008
    assert result.turn_errors().max() < 0.2
    assert not any(e.is_keyframe for e in blank)


def test_covariance_of_a_pose_held_by_depth_admits_its_error() -> None:
    result = approached(CORNER)
    for k in range(SEEN, COUNT):
        off = se3.inverse(result.run.found[k]) @ result.run.truth[k]
        error = se3.log(off)
        assert error @ np.linalg.solve(result.estimates[k].covariance, error) / 6.0 < 3.0


@pytest.mark.parametrize('walls', [WALL, CORNER[:2]], ids=['wall', 'edge'])
def test_walls_that_let_the_camera_slide_hold_nothing(walls: np.ndarray) -> None:
    """Noise matches noise along them, and none of that is believed."""
    result = approached(walls)
    assert {e.state for e in result.estimates[SEEN:]} == {TrackingState.LOST}
