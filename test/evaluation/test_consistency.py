# SPDX-License-Identifier: Apache-2.0
"""Covariance consistency: the measure itself, on errors whose covariance is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.consistency import (
    anees,
    motion_errors,
    normalised_squares,
    pose_errors,
    velocities,
)
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import of_product


def random_covariances(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    root = rng.normal(size=(count, size, size))
    return root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(size)


def disturbed(pose: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the true pose of an estimate with that error, as geometry/covariance.py defines."""
    turn = Rotation.from_rotvec(error[3:]).as_matrix()
    return se3.from_rotation_translation(turn @ pose[:3, :3], pose[:3, 3] + error[:3])


def test_errors_drawn_from_their_covariances_give_one() -> None:
    rng = np.random.default_rng(0)
    covariances = random_covariances(rng, 5000, 6)
    errors = (np.linalg.cholesky(covariances) @ rng.normal(size=(5000, 6, 1)))[..., 0]
    assert anees(errors, covariances) == pytest.approx(1.0, abs=0.03)
    assert anees(errors, 4.0 * covariances) == pytest.approx(0.25, abs=0.01)
    assert anees(3.0 * errors, covariances) == pytest.approx(9.0, abs=0.3)


def test_each_direction_counts_by_its_own_variance() -> None:
    covariances = np.array([np.diag([4.0, 0.01])])
    assert normalised_squares(np.array([[2.0, 0.0]]), covariances) == pytest.approx([0.5])
    assert normalised_squares(np.array([[0.0, 0.1]]), covariances) == pytest.approx([0.5])


def test_pose_errors_are_additive_and_in_world_axes() -> None:
    rng = np.random.default_rng(1)
    estimated = np.array([se3.exp(rng.normal(size=6)) for _ in range(20)])
    errors = rng.normal(scale=0.3, size=(20, 6))
    truth = np.array([disturbed(*pair) for pair in zip(estimated, errors, strict=True)])
    np.testing.assert_allclose(pose_errors(estimated, truth), errors, atol=1e-12)


def test_motion_errors_have_the_axes_of_the_earlier_camera_and_no_world() -> None:
    rng = np.random.default_rng(2)
    start, motion = se3.exp(rng.normal(size=6)), se3.exp(rng.normal(size=6))
    error = rng.normal(scale=0.1, size=6)
    estimated = np.array([start, start @ motion])
    elsewhere = se3.exp(rng.normal(size=6))
    truth = np.array([elsewhere, elsewhere @ disturbed(motion, error)])
    np.testing.assert_allclose(motion_errors(estimated, truth, 1), [error], atol=1e-12)


def test_a_chain_of_motions_is_consistent_with_its_composed_covariance() -> None:
    """The measure and geometry/covariance.py speak of the same errors."""
    rng = np.random.default_rng(3)
    motion = se3.exp(np.array([0.3, 0.1, 0.2, 0.1, -0.3, 0.2]))
    single = 1e-4 * random_covariances(rng, 1, 6)[0]
    root, estimated, truth, covariances = np.linalg.cholesky(single), [], [], []
    for _ in range(300):
        pose, true, covariance = np.eye(4), np.eye(4), np.zeros((6, 6))
        for _ in range(5):
            covariance = of_product(pose, covariance, motion, single)
            pose, true = pose @ motion, true @ disturbed(motion, root @ rng.normal(size=6))
        estimated.append(pose)
        truth.append(true)
        covariances.append(covariance)
    errors = pose_errors(np.array(estimated), np.array(truth))
    assert anees(errors, np.array(covariances)) == pytest.approx(1.0, abs=0.15)


def test_velocities_are_those_that_bring_one_pose_to_the_next() -> None:
    first = se3.exp(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    turn = np.array([0.01, -0.02, 0.03])
    later = first.copy()
    later[:3, :3] = first[:3, :3] @ Rotation.from_rotvec(turn).as_matrix()
    later[:3, 3] = first[:3, 3] + later[:3, :3] @ np.array([0.1, 0.0, -0.2])
    found = velocities(np.array([first, later]), np.array([0, 100_000_000]))
    np.testing.assert_allclose(found, [[1.0, 0.0, -2.0, 0.1, -0.2, 0.3]], atol=1e-12)


def test_what_cannot_be_measured_is_an_error_in_words() -> None:
    with pytest.raises(EvaluationError, match='no errors'):
        anees(np.empty((0, 6)), np.empty((0, 6, 6)))
    with pytest.raises(EvaluationError, match='NaN'):
        anees(np.full((1, 2), np.nan), np.eye(2)[None])
    with pytest.raises(EvaluationError, match='positive definite'):
        anees(np.ones((1, 2)), np.array([[[1.0, 0.0], [0.0, -1.0]]]))
