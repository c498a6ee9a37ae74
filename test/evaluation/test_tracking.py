# SPDX-License-Identifier: Apache-2.0
"""The judge of what an estimator says: on made-up runs whose faults are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flowcam_ros.evaluation.consistency import motions
from flowcam_ros.evaluation.tracking import Limits, Run
from flowcam_ros.geometry import se3
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState

TRACKING, DEGRADED, LOST = TrackingState.TRACKING, TrackingState.DEGRADED, TrackingState.LOST
STEP = np.array([0.01, 0.0, 0.02, 0.0, 0.01, 0.0])


def true_path(count: int = 60) -> np.ndarray:
    return np.stack([se3.exp(k * STEP) for k in range(count)])


def estimates(poses: np.ndarray, sigma: float = 1e-3) -> list[PoseEstimate]:
    covariance = sigma**2 * np.eye(6)
    stamps = [10**9 + k * 33_333_333 for k in range(len(poses))]
    return [
        PoseEstimate(stamp, TRACKING, '', pose, (k + 1) * covariance, 30 * STEP, covariance)
        for k, (stamp, pose) in enumerate(zip(stamps, poses, strict=True))
    ]


def run_of(found: np.ndarray, sigma: float = 1e-3) -> Run:
    return Run.of(estimates(found, sigma), true_path(len(found)))


def with_states(run: Run, begin: int, end: int, state: TrackingState) -> Run:
    states = run.states.copy()
    states[begin:end] = state
    return dataclasses.replace(run, states=states)


def moved_by(found: np.ndarray, begin: int, metres: float) -> np.ndarray:
    moved = found.copy()
    moved[begin:, 0, 3] += metres
    return moved


def test_the_truth_is_never_false_whatever_the_world() -> None:
    elsewhere = se3.exp(np.array([1.0, 2.0, 3.0, 0.5, 0.2, 0.1]))
    run = Run.of(estimates(true_path()), elsewhere @ true_path())
    assert not run.false_tracking().any()
    assert run.largest_jump() < 1e-9
    np.testing.assert_allclose(run.truth, run.found, atol=1e-9)
    assert run.pose_squares().max() < 1e-9


def test_a_jump_makes_the_second_after_it_false() -> None:
    run = run_of(moved_by(true_path(), 20, 0.1))
    wrong = np.flatnonzero(run.false_tracking())
    assert wrong[0] == 20 and 49 <= wrong[-1] <= 50
    assert run.largest_jump() == pytest.approx(0.1, abs=0.015)


def test_a_slow_slide_is_found_too() -> None:
    slide = true_path()
    slide[:, 1, 3] += 0.1 * np.arange(60) / 30
    assert run_of(slide).false_tracking()[15:].all()


def test_a_small_error_or_one_that_the_covariance_admits_is_not_false() -> None:
    assert not run_of(moved_by(true_path(), 20, 0.03)).false_tracking().any()
    assert not run_of(moved_by(true_path(), 20, 0.1), sigma=0.1).false_tracking().any()


def test_uncertainty_from_long_ago_excuses_nothing() -> None:
    run = run_of(moved_by(true_path(), 40, 0.1))
    covariances = run.covariances + np.eye(6)
    unsure = dataclasses.replace(run, covariances=covariances)
    assert unsure.false_tracking(Limits())[40:].all()


def test_a_frame_that_does_not_say_tracking_is_not_false() -> None:
    run = with_states(run_of(moved_by(true_path(), 20, 0.1)), 20, 60, DEGRADED)
    assert not run.false_tracking().any()


def test_after_a_loss_the_way_since_the_last_believed_pose_counts_once() -> None:
    run = with_states(run_of(moved_by(true_path(), 25, 0.2)), 20, 30, LOST)
    np.testing.assert_array_equal(np.flatnonzero(run.false_tracking()), [30])
    covariances = run.covariances.copy()
    covariances[20:] += 0.1**2 * np.eye(6)
    assert not dataclasses.replace(run, covariances=covariances).false_tracking().any()


def test_recovery_counts_from_the_frame_that_is_given() -> None:
    run = with_states(run_of(true_path()), 20, 33, LOST)
    assert run.frames_to_recover(30) == 3
    assert run.frames_to_recover(40) == 0
    assert with_states(run, 20, 60, LOST).frames_to_recover(30) is None


def test_the_way_back_from_a_prediction_is_measured_by_its_covariance() -> None:
    run = with_states(run_of(moved_by(true_path(), 30, 0.4)), 20, 30, LOST)
    covariances = run.covariances.copy()
    covariances[20:30] = 0.1**2 * np.eye(6)
    run = dataclasses.replace(run, covariances=covariances)
    assert run.largest_correction() == pytest.approx(4.0, abs=0.5)
    assert run.largest_jump() < 1e-9
    assert run_of(true_path()).largest_correction() == 0.0


def test_the_scale_is_that_of_the_way_before_the_first_loss() -> None:
    small = true_path()
    small[:, :3, 3] *= 0.5
    changed = small.copy()
    changed[30:, :3, 3] = small[30, :3, 3] + 2.0 * (small[30:, :3, 3] - small[30, :3, 3])
    run = with_states(run_of(changed), 30, 32, LOST)
    assert run.best_scale(1.0) == pytest.approx(2.0)
    scaled = run.scaled(2.0)
    assert not scaled.false_tracking()[:30].any()
    assert scaled.false_tracking()[45:].all()
    np.testing.assert_allclose(scaled.twists[:, :3], 2.0 * run.twists[:, :3])
    np.testing.assert_allclose(scaled.covariances[:, :3, 3:], 2.0 * run.covariances[:, :3, 3:])
    still = Run.of(estimates(np.tile(np.eye(4), (9, 1, 1))), np.tile(np.eye(4), (9, 1, 1)))
    assert still.best_scale(3.0) == 3.0


def test_consistency_of_poses_and_twists() -> None:
    rng = np.random.default_rng(0)
    found = true_path(400)
    found[1:, :3, 3] += 1e-3 * rng.normal(size=(399, 3)) * np.sqrt(np.arange(2, 401))[:, None]
    run = run_of(found)
    # the rotations are exact: half of the six errors are there
    assert run.pose_squares().mean() == pytest.approx(0.5, abs=0.06)
    true = motions(true_path(2), 1)[0]
    assert run.twists[1] == pytest.approx(30 * STEP)
    assert np.linalg.norm(true[:3, 3]) > 0
    assert run.twist_squares().max() < 30.0


def test_poses_before_the_first_motion_are_the_origin_at_the_last_of_them() -> None:
    """A stream whose depth comes late stays at the origin until then, and moves from there."""
    truth = true_path(30)
    found = np.concatenate([np.tile(np.eye(4), (10, 1, 1)), se3.inverse(truth[10]) @ truth[10:]])
    run = with_states(Run.of(estimates(found), truth), 0, 10, TrackingState.INITIALISING)
    np.testing.assert_allclose(run.found[10:], run.truth[10:], atol=1e-9)
    assert not run.false_tracking().any()
