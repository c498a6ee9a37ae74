# SPDX-License-Identifier: Apache-2.0
"""Covariance of composed poses, against a thousand drawn ones."""

import numpy as np
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import of_product, of_solver_inverse, rotated


def random_covariance(rng: np.random.Generator, size: float) -> np.ndarray:
    factor = rng.normal(size=(6, 6)) * size
    return factor @ factor.T + 1e-8 * np.eye(6)


def disturbed(pose: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Apply an additive error of position and fixed-axes rotation."""
    rotation = Rotation.from_rotvec(error[3:]).as_matrix() @ pose[:3, :3]
    return se3.from_rotation_translation(rotation, pose[:3, 3] + error[:3])


def additive_error(true: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    turn = Rotation.from_matrix(true[:3, :3] @ estimate[:3, :3].T).as_rotvec()
    return np.concatenate([true[:3, 3] - estimate[:3, 3], turn])


def test_product_matches_drawn_errors() -> None:
    rng = np.random.default_rng(0)
    first = se3.exp(rng.normal(size=6))
    second = se3.exp(rng.normal(size=6) * [2, 2, 2, 1, 1, 1])
    first_covariance, second_covariance = (random_covariance(rng, 0.005) for _ in range(2))
    first_errors = rng.multivariate_normal(np.zeros(6), first_covariance, 20000)
    second_errors = rng.multivariate_normal(np.zeros(6), second_covariance, 20000)
    product = first @ second
    errors = [
        additive_error(disturbed(first, a) @ disturbed(second, b), product)
        for a, b in zip(first_errors, second_errors, strict=True)
    ]
    expected = of_product(first, first_covariance, second, second_covariance)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((np.cov(np.array(errors).T) - expected) / scale).max() < 0.05


def test_inverse_of_a_solver_pose_matches_drawn_errors() -> None:
    rng = np.random.default_rng(1)
    pose = se3.exp(rng.normal(size=6))
    covariance = random_covariance(rng, 0.005)
    inverse = se3.inverse(pose)
    errors = [
        additive_error(se3.inverse(se3.exp(twist) @ pose), inverse)
        for twist in rng.multivariate_normal(np.zeros(6), covariance, 20000)
    ]
    expected = of_solver_inverse(pose, covariance)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((np.cov(np.array(errors).T) - expected) / scale).max() < 0.05


def test_results_are_symmetric_and_positive() -> None:
    rng = np.random.default_rng(2)
    pose = se3.exp(rng.normal(size=6))
    covariance = random_covariance(rng, 0.1)
    for result in (
        of_product(pose, covariance, pose, covariance),
        rotated(covariance, pose[:3, :3]),
    ):
        np.testing.assert_array_equal(result, result.T)
        assert np.linalg.eigvalsh(result)[0] > 0
