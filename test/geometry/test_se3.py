# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms: the maps between them are inverse to each other and stay rigid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowcam_ros.geometry import se3

finite = st.floats(-3.0, 3.0, allow_nan=False)
twists = arrays(np.float64, 6, elements=finite)


@given(twists)
def test_log_inverts_exp(twist: np.ndarray) -> None:
    if np.linalg.norm(twist[3:]) < 3.1:  # beyond pi the logarithm is another twist
        np.testing.assert_allclose(se3.log(se3.exp(twist)), twist, atol=1e-7)


@given(twists)
def test_inverse_undoes(twist: np.ndarray) -> None:
    transform = se3.exp(twist)
    np.testing.assert_allclose(se3.inverse(transform) @ transform, np.eye(4), atol=1e-12)


@given(twists)
def test_quaternion_round_trip(twist: np.ndarray) -> None:
    transform = se3.exp(twist)
    quaternion = se3.quaternion(transform)
    assert quaternion[3] >= 0
    back = se3.from_quaternion(transform[:3, 3], quaternion)
    np.testing.assert_allclose(back, transform, atol=1e-12)


def test_exp_of_a_tiny_rotation_is_accurate() -> None:
    twist = np.array([1.0, 2.0, 3.0, 1e-9, -2e-9, 3e-9])
    np.testing.assert_allclose(se3.exp(twist)[:3, 3], twist[:3], atol=1e-8)
    np.testing.assert_allclose(se3.log(se3.exp(twist)), twist, atol=1e-12)


def test_rotation_angle() -> None:
    assert se3.rotation_angle(se3.exp(np.array([1, 1, 1, 0, 0, 0.3]))) == pytest.approx(0.3)


def test_a_million_products_stay_orthonormal() -> None:
    """One step in a thousand is put right, as the pipeline does at every frame."""
    step = se3.exp(np.array([0.01, 0.0, 0.02, 0.001, -0.002, 0.003]))
    thousand = np.linalg.matrix_power(step, 1000)
    pose = np.eye(4)
    for _ in range(1000):
        pose = se3.orthonormalized(pose @ thousand)
    error = np.abs(pose[:3, :3].T @ pose[:3, :3] - np.eye(3)).max()
    assert error < 1e-9
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0, abs=1e-9)


def test_orthonormalized_keeps_what_is_rigid() -> None:
    transform = se3.exp(np.array([1.0, -2.0, 0.5, 0.4, 0.2, -0.9]))
    np.testing.assert_allclose(se3.orthonormalized(transform), transform, atol=1e-14)
