# SPDX-License-Identifier: Apache-2.0
"""The scale of a map: what it adds to poses, and how it is handed on."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import of_product
from flowcam_ros.odometry.map_scale import MEASURED, UNKNOWN, MapScale, lost_scale

KEY = se3.exp(np.array([0.4, -0.2, 0.3, 0.2, -0.4, 0.3]))
STEP = se3.exp(np.array([0.9, 0.5, -1.2, 0.1, 0.2, -0.1]))
OFFSET = KEY[:3, :3] @ STEP[:3, 3]


def joint_covariance(scale_sigma: float, size: float = 1.0) -> np.ndarray:
    """Return a (7, 7) covariance of the scale and the key frame's pose, well correlated."""
    root = np.random.default_rng(4).normal(size=(7, 7))
    covariance = root @ root.T + np.eye(7)
    sigma = np.array([scale_sigma, *[0.03 * size] * 3, *[0.02 * size] * 3])
    correlation = covariance / np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    return correlation * np.outer(sigma, sigma)


def map_scale(joint: np.ndarray) -> MapScale:
    return MapScale(joint[0, 0], joint[0, 1:])


def handed_on(joint: np.ndarray, offset: np.ndarray, lost: float) -> np.ndarray:
    """Return the joint covariance of scale and pose at ``offset``, to first order."""
    by = np.eye(7)
    by[1:4, 0] = offset
    by[1:4, 4:] = -se3.skew(offset)
    return by @ joint @ by.T + np.diag([lost, *np.zeros(6)])


def test_a_pose_in_a_map_of_unsure_scale_has_the_covariance_of_samples() -> None:
    """Log-normal lengths, correlated with the error of the key frame's pose."""
    joint = joint_covariance(scale_sigma=0.1, size=0.5)
    errors = np.random.default_rng(0).multivariate_normal(np.zeros(7), joint, 200_000)
    turned = Rotation.from_rotvec(errors[:, 4:]).apply(np.exp(errors[:, :1]) * OFFSET)
    lacks = np.concatenate([errors[:, 1:4] + turned - OFFSET, errors[:, 4:]], 1)
    truth = np.cov(lacks.T)
    found = of_product(KEY, joint[1:, 1:], STEP, np.zeros((6, 6)))
    found = found + map_scale(joint).of_pose(OFFSET)
    sigma = np.sqrt(truth.diagonal())
    assert np.abs((found - truth) / np.outer(sigma, sigma)).max() < 0.02


@pytest.mark.parametrize('sigma', [0.05, 0.5, 0.7])
def test_the_error_of_a_length_is_log_normal(sigma: float) -> None:
    samples = np.exp(sigma * np.random.default_rng(1).normal(size=2_000_000))
    assert MapScale(sigma**2).of_length == pytest.approx(samples.var(), rel=0.03)


def test_what_the_scale_adds_is_along_the_way_where_the_pose_is_sure() -> None:
    scale = MapScale(0.01)
    added = scale.of_pose(OFFSET)
    expected = np.zeros((6, 6))
    expected[:3, :3] = scale.of_length * np.outer(OFFSET, OFFSET)
    np.testing.assert_allclose(added, expected, atol=1e-15)
    assert not scale.of_pose(np.zeros(3)).any()


def test_measured_depth_adds_nothing() -> None:
    assert MEASURED.of_length == 0.0
    assert not MEASURED.of_pose(OFFSET).any()


def test_a_scale_is_handed_on_with_the_error_of_the_pose_that_it_made() -> None:
    """Through several key frames, as if scale and pose had one joint covariance."""
    joint, scale = joint_covariance(scale_sigma=0.1), map_scale(joint_covariance(scale_sigma=0.1))
    turn = Rotation.from_rotvec([0.4, 0.3, -0.2])
    for lost, offset in zip([0.0, 0.02, 0.005], turn.apply(OFFSET * np.ones((3, 1))), strict=True):
        joint, scale = handed_on(joint, offset, lost), scale.carried(offset, lost)
        assert scale.variance == pytest.approx(joint[0, 0], rel=1e-12)
        np.testing.assert_allclose(scale.with_pose, joint[0, 1:], rtol=1e-10)


def test_errors_of_one_scale_add_up_over_key_frames() -> None:
    """Two ways of one scale are wrong alike: as wrong as one way of both lengths."""
    scale = MapScale(1e-6)
    first, second = OFFSET, np.array([0.3, 1.0, 0.2])
    carried = scale.carried(first, 0.0)
    inherited = of_product(KEY, scale.of_pose(first), STEP, np.zeros((6, 6)))
    at_once = scale.of_pose(first + second)
    np.testing.assert_allclose(inherited + carried.of_pose(second), at_once, rtol=1e-4, atol=1e-12)


def known_depths(likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ten points of each variance of the logarithm of depth, beside that of a guess."""
    variance = np.repeat(1.0 / (1.0 / likelihood + 1.0 / UNKNOWN**2), 10)
    inverse = np.random.default_rng(2).uniform(0.1, 2.0, len(variance))
    return inverse, variance * inverse**2


def test_depths_that_err_alike_ten_by_ten_keep_the_scale_as_well_as_samples() -> None:
    likelihood = np.array([0.02, 0.05, 0.3])
    rng = np.random.default_rng(3)
    scale = UNKNOWN * rng.normal(size=200_000)
    seen = scale[:, None] + np.sqrt(likelihood) * rng.normal(size=(len(scale), 3))
    best = (seen / likelihood).sum(1) / ((1.0 / likelihood).sum() + 1.0 / UNKNOWN**2)
    assert lost_scale(*known_depths(likelihood)) == pytest.approx((best - scale).var(), rel=0.02)


def test_points_of_unknown_depth_say_nothing_of_the_scale() -> None:
    inverse, variance = known_depths(np.array([0.02, 0.05]))
    without = lost_scale(inverse, variance)
    more = np.array([1.0, 0.5, 0.2, 0.0]), np.array([np.inf, UNKNOWN**2 * 0.25, 1.0, 0.0])
    joined = (np.concatenate(both) for both in zip((inverse, variance), more, strict=True))
    assert lost_scale(*joined) == pytest.approx(without, rel=1e-9)
    assert lost_scale(*more) == pytest.approx(UNKNOWN**2)
    assert lost_scale(np.zeros(0), np.zeros(0)) == pytest.approx(UNKNOWN**2)


def test_many_exact_depths_lose_nothing_of_the_scale() -> None:
    inverse = np.full(1000, 0.5, np.float32)
    assert 0.0 < lost_scale(inverse, np.zeros(1000, np.float32)) < 1e-10
