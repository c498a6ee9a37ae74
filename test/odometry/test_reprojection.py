# SPDX-License-Identifier: Apache-2.0
"""Where points go in another image, and how that changes with pose and depth."""

import numpy as np
import pytest
import torch

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.geometry.small_motion import small_motion
from flowcam_ros.odometry.reprojection import clamped_depth, derivatives, reproject

CAMERA = CameraModel(640, 480, 500.0, 450.0, 310.0, 250.0)
POSES = torch.from_numpy(
    np.stack(
        [
            np.eye(4),
            se3.exp(np.array([0.3, -0.2, 0.4, 0.1, -0.2, 0.15])),
            se3.exp(np.array([-0.5, 0.1, -0.3, -0.3, 0.1, 0.4])),
        ]
    )
)


def points(count: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rays and inverse depths for each of the poses."""
    generator = torch.Generator().manual_seed(3)
    size = torch.tensor([640.0, 480.0], dtype=torch.float64)
    pixels = size * torch.rand(len(POSES), count, 2, dtype=torch.float64, generator=generator)
    depth = torch.rand(len(POSES), count, dtype=torch.float64, generator=generator)
    return rays(CAMERA, pixels).mT, 0.1 + 0.6 * depth


def test_points_go_where_the_pose_takes_them() -> None:
    ray, depth = points()
    for r, d, pose in zip(ray, depth, POSES, strict=True):
        there = (r / d).mT @ pose[:3, :3].T + pose[:3, 3]
        seen = reproject(CAMERA, r, d, pose)
        assert seen.ahead.all()
        torch.testing.assert_close(seen.predicted[:2].mT, project(CAMERA, there))
        torch.testing.assert_close(seen.predicted[2], 1.0 / there[:, 2])


def test_points_at_infinity_only_turn() -> None:
    ray, depth = points()
    seen = reproject(CAMERA, ray[1], torch.zeros_like(depth[1]), POSES[1])
    turned = ray[1].mT @ POSES[1, :3, :3].T
    torch.testing.assert_close(seen.predicted[:2].mT, project(CAMERA, turned))
    assert (seen.predicted[2] == 0).all()


def test_points_behind_are_told_and_stay_finite() -> None:
    ray, depth = points()
    through = torch.eye(4, dtype=torch.float64)
    through[2, 3] = -2.0 / float(depth[0].max())  # past the nearest points, short of the others
    seen = reproject(CAMERA, ray[0], depth[0], through)
    torch.testing.assert_close(seen.ahead, 1.0 / depth[0] + through[2, 3] > 0)
    assert seen.ahead.any() and not seen.ahead.all()
    by_motion, by_depth = derivatives(CAMERA, seen)
    for values in (seen.predicted, by_motion, by_depth):
        assert torch.isfinite(values).all()


@pytest.mark.parametrize('axis', range(6))
def test_derivative_by_pose_matches_finite_differences(axis: int) -> None:
    ray, depth = points()
    by_motion, _ = derivatives(CAMERA, reproject(CAMERA, ray, depth, POSES))
    h = 1e-5
    step = torch.zeros(6, dtype=torch.float64)
    step[axis] = h
    after = reproject(CAMERA, ray, depth, small_motion(step) @ POSES).predicted
    before = reproject(CAMERA, ray, depth, small_motion(-step) @ POSES).predicted
    torch.testing.assert_close(
        by_motion[:, axis], (after - before) / (2 * h), atol=1e-5, rtol=1e-6
    )


def test_derivative_by_depth_matches_finite_differences() -> None:
    ray, depth = points()
    _, by_depth = derivatives(CAMERA, reproject(CAMERA, ray, depth, POSES))
    h = 1e-5
    after = reproject(CAMERA, ray, depth + h, POSES).predicted
    before = reproject(CAMERA, ray, depth - h, POSES).predicted
    torch.testing.assert_close(by_depth, (after - before) / (2 * h), atol=1e-5, rtol=1e-6)


def test_a_batch_is_as_good_as_one_by_one() -> None:
    ray, depth = points()
    together = reproject(CAMERA, ray, depth, POSES)
    by_motion, by_depth = derivatives(CAMERA, together)
    assert by_motion.shape == (3, 6, 3, 20)
    for i, pose in enumerate(POSES):
        alone = reproject(CAMERA, ray[i], depth[i], pose)
        torch.testing.assert_close(together.predicted[i], alone.predicted)
        assert torch.equal(together.ahead[i], alone.ahead)
        alone_by_motion, alone_by_depth = derivatives(CAMERA, alone)
        torch.testing.assert_close(by_motion[i], alone_by_motion)
        torch.testing.assert_close(by_depth[i], alone_by_depth)


def test_depths_stay_within_what_a_camera_sees() -> None:
    wild = torch.tensor([-1.0, 0.0, 0.5, 1e9], dtype=torch.float64)
    kept = clamped_depth(wild)
    assert (kept > 0).all() and float(kept[2]) == 0.5 and float(kept[3]) <= 100.0
