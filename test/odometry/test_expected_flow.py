# SPDX-License-Identifier: Apache-2.0
"""The flow to expect equals the true flow where depth is smooth."""

import numpy as np
import pytest
import torch

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.odometry.expected_flow import expected_flow
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths

CAMERA = CameraModel(320, 240, 250.0, 240.0, 155.0, 122.0)
INSIDE = (slice(8, -8), slice(8, -8))  # farther out the nearest cells stand in
TURN = se3.exp(np.array([0.0, 0.0, 0.0, 0.03, -0.04, 0.05]))
MOTION = se3.exp(np.array([0.1, -0.05, 0.2, 0.03, -0.04, 0.05]))


def all_rays() -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), -1)
    return rays(CAMERA, torch.from_numpy(grid)).numpy()


def slanted(distance: float = 3.0) -> np.ndarray:
    """Return the inverse depth of a plane at every pixel."""
    return all_rays() @ np.array([0.3, -0.2, 0.9]) / distance


def true_flow(inverse: np.ndarray, target_from_source: np.ndarray) -> np.ndarray:
    there = all_rays() @ target_from_source[:3, :3].T
    there = there + inverse[..., None] * target_from_source[:3, 3]
    here = project(CAMERA, torch.from_numpy(all_rays()))
    return (project(CAMERA, torch.from_numpy(there)) - here).numpy()


def keyframe(inverse: np.ndarray, camera: CameraModel = CAMERA) -> Keyframe:
    """Return a key frame that knows depth, and nothing else that matters."""
    frame = FramePreparer(10**6).prepare(Frame(0, np.zeros((240, 320), np.uint8), CAMERA))
    variance = np.where(inverse > 0, 1e-4, np.inf).astype(np.float32)
    picture = np.zeros(inverse.shape, np.uint8)
    depth = DepthEstimate(0, camera, inverse.astype(np.float32), variance, picture)
    none = np.zeros(0, np.float32)
    points = PointDepths(np.zeros((0, 2), np.float32), none, none)
    return Keyframe(frame, depth, np.eye(4), np.eye(6), points, none)


def test_standing_still_moves_nothing() -> None:
    assert np.abs(expected_flow(keyframe(slanted()), np.eye(4))).max() < 1e-4


@pytest.mark.parametrize('pose', [TURN, MOTION], ids=['rotation', 'motion'])
def test_equals_the_flow_of_a_plane(pose: np.ndarray) -> None:
    flow = expected_flow(keyframe(slanted()), pose)
    assert flow.shape == (240, 320, 2) and flow.dtype == np.float32
    truth = true_flow(slanted(), pose)
    assert np.abs(truth).max() > 10
    assert np.abs(flow - truth)[INSIDE].max() < 0.02
    assert np.abs(flow - truth).max() < 3.0


def test_a_rotation_needs_no_depth() -> None:
    flow = expected_flow(keyframe(np.zeros((240, 320))), TURN)
    assert np.abs(flow - true_flow(slanted(), TURN))[INSIDE].max() < 0.02


def test_where_depth_is_unknown_the_median_stands_in() -> None:
    inverse = np.full((240, 320), 0.5)
    inverse[60:120, 100:250] = 0.0
    flow = expected_flow(keyframe(inverse), MOTION)
    assert np.abs(flow - true_flow(np.full((240, 320), 0.5), MOTION))[INSIDE].max() < 0.02


def test_depth_may_be_of_another_size() -> None:
    half = CameraModel(160, 120, 125.0, 120.0, 77.25, 60.75)
    inverse = slanted().reshape(120, 2, 160, 2).mean((1, 3))
    flow = expected_flow(keyframe(inverse, half), MOTION)
    assert np.abs(flow - true_flow(slanted(), MOTION))[INSIDE].max() < 0.02


def test_points_behind_the_camera_are_expected_nowhere_else() -> None:
    through = np.eye(4)
    through[2, 3] = -5.0  # past a wall at 2 m
    flow = expected_flow(keyframe(np.full((240, 320), 0.5)), through)
    np.testing.assert_array_equal(flow, 0.0)
