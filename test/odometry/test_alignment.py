# SPDX-License-Identifier: Apache-2.0
"""What an alignment says of itself: how alike its points err, how sure its length is."""

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.correspondence.points import FINE_WINDOW
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.odometry.alignment import Alignment, overlap
from flowcam_ros.odometry.scene_flow import Correspondences

CAMERA = CameraModel(640, 480, 500.0, 500.0, 320.0, 240.0)


@pytest.mark.parametrize('spacing', [4, 8, 10, 16])
def test_overlap_is_how_much_noise_the_windows_of_a_grid_share(spacing: int) -> None:
    """The variance of the mean over all windows, beside that of windows apart from each other."""
    covered = np.zeros((480, 640))
    for y in range(0, 480, spacing):
        for x in range(0, 640, spacing):
            covered[y, x] = 1
    count = covered.sum()
    for axis in (0, 1):
        covered = sum(np.roll(covered, shift, axis) for shift in range(FINE_WINDOW))
    truth = (covered**2).sum() / (count * FINE_WINDOW**2)
    assert overlap(int(count), CAMERA) == pytest.approx(truth, rel=1e-9)


def test_few_points_do_not_overlap() -> None:
    assert overlap(100, CAMERA) == overlap(1, CAMERA) == overlap(0, CAMERA) == 1.0


def alignment(way: np.ndarray, covariance: np.ndarray, likeness: float = 1.0) -> Alignment:
    """Return an alignment whose camera is at ``way`` in the key frame's axes."""
    none = torch.zeros(0, dtype=torch.float64)
    turn = se3.exp(np.array([0, 0, 0, 0.3, -0.2, 0.4]))
    source_from_target = se3.from_rotation_translation(turn[:3, :3], way)
    return Alignment(
        flow=DenseFlow(lambda: np.zeros((1, 1, 2), np.float32)),
        points=Correspondences(none.view(0, 2), none.view(0, 2), *(none,) * 5),
        kept=np.zeros(0, bool),
        followed=0,
        matched=0,
        inliers=0,
        target_from_source=se3.inverse(source_from_target),
        covariance=covariance,
        likeness=likeness,
    )


def test_the_length_is_as_sure_as_samples_of_the_way() -> None:
    root = np.random.default_rng(0).normal(size=(6, 6))
    covariance, way = 1e-4 * root @ root.T, np.array([0.6, -0.3, 0.9])
    ways = way + np.random.default_rng(1).multivariate_normal(
        np.zeros(3), 4.0 * covariance[:3, :3], 200_000
    )
    truth = np.linalg.norm(ways, axis=1).std() / np.linalg.norm(way)
    assert alignment(way, covariance, likeness=4.0).length_sigma == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize('length', [0.0, 1e-12, 1e-8, 1e-3])
def test_the_length_of_hardly_any_way_is_unknown(length: float) -> None:
    way = np.array([0.0, length, 0.0])
    assert alignment(way, 1e-4 * np.eye(6)).length_sigma == 1.0
