# SPDX-License-Identifier: Apache-2.0
"""The pose from points of the world: exact, robust, with an honest covariance."""

import numpy as np
import pytest

from flowcam_ros.flowmap.resection import FoundPoints, resect
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project

CAMERA = CameraModel(640, 480, 500.0, 510.0, 320.0, 240.0)
POSE = se3.exp(np.array([3.0, -1.0, 2.0, 0.4, -0.8, 0.3]))
NEAR = POSE @ se3.exp(np.array([0.1, -0.05, 0.08, 0.02, -0.03, 0.02]))


def found(
    seed: int = 0, count: int = 200, noise: float = 0.0, wrong: float = 0.0, flat: bool = False
) -> FoundPoints:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform((0, 0), (640, 480), (count, 2))
    depth = np.full(count, 3.0) if flat else rng.uniform(1.0, 8.0, count)
    rays = np.concatenate([(pixels - (320, 240)) / (500, 510), np.ones((count, 1))], 1)
    points = (rays * depth[:, None]) @ POSE[:3, :3].T + POSE[:3, 3]
    seen = pixels + rng.normal(0.0, 1.0, (count, 2)) * noise
    lost = rng.uniform(size=count) < wrong
    seen[lost] = rng.uniform((0, 0), (640, 480), (np.count_nonzero(lost), 2))
    return FoundPoints(points, seen, np.full(count, max(noise, 0.01) ** 2))


def off(pose: np.ndarray) -> np.ndarray:
    return se3.log(se3.inverse(POSE) @ pose)


@pytest.mark.parametrize('flat', [False, True])
def test_exact_points_give_the_exact_pose(flat: bool) -> None:
    result = resect(found(flat=flat), CAMERA, [NEAR])
    assert result is not None
    assert np.abs(off(result.world_from_camera)).max() < 1e-4
    assert result.explained.all()


@pytest.mark.parametrize('wrong', [0.2, 0.5, 0.7])
def test_wrong_points_do_not_matter(wrong: float) -> None:
    result = resect(found(noise=0.3, wrong=wrong), CAMERA, [NEAR])
    assert result is not None
    assert np.abs(off(result.world_from_camera)).max() < 0.02
    assert result.inliers == pytest.approx(200 * (1 - wrong), abs=20)


def test_a_start_far_off_is_no_obstacle() -> None:
    far = POSE @ se3.exp(np.array([0.8, 0.5, -0.6, 0.3, -0.3, 0.5]))
    result = resect(found(noise=0.3, wrong=0.3), CAMERA, [far])
    assert result is not None
    assert np.abs(off(result.world_from_camera)).max() < 0.02


def test_the_covariance_is_that_of_the_errors() -> None:
    squares = []
    for seed in range(40):
        result = resect(found(seed, 80, noise=0.5), CAMERA, [NEAR])
        assert result is not None
        error = result.world_from_camera[:3, 3] - POSE[:3, 3]
        squares.append(error @ np.linalg.solve(result.covariance[:3, :3], error) / 3.0)
    assert 0.5 < np.mean(squares) < 2.0


def test_points_elsewhere_project_as_said() -> None:
    points = found()
    local = (points.points - POSE[:3, 3]) @ POSE[:3, :3]
    np.testing.assert_allclose(project(CAMERA, local), points.pixels, atol=1e-9)


@pytest.mark.parametrize('count', [0, 1, 5])
def test_too_few_points_give_no_pose(count: int) -> None:
    assert resect(found(count=count), CAMERA, [NEAR]) is None


def test_points_behind_the_guess_give_no_pose() -> None:
    behind = POSE @ se3.exp(np.array([0.0, 0.0, 20.0, 0.0, 0.0, 0.0]))
    assert resect(found(), CAMERA, [behind]) is None
