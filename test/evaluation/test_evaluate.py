# SPDX-License-Identifier: Apache-2.0
"""Trajectory errors, held against evo and against cases solved by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import EvaluationError, UsageError
from flowcam_ros.evaluation.alignment import Similarity, fit_similarity
from flowcam_ros.evaluation.association import associate
from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.evaluation.metrics import trace_normalised_error
from flowcam_ros.geometry.trajectory import Trajectory

SECOND = 1_000_000_000


def wandering(seed: int, count: int = 60, stride_ns: int = SECOND // 30) -> Trajectory:
    """Return a smooth random path with turning camera."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(count, 3)).cumsum(axis=0) * 0.1
    turning = Rotation.from_rotvec(rng.normal(size=(count, 3)).cumsum(axis=0) * 0.05)
    poses[:, :3, :3] = turning.as_matrix()
    return Trajectory(SECOND * 1700 + stride_ns * np.arange(count), poses)


def disturbed(trajectory: Trajectory, seed: int, scale: float = 1.0) -> Trajectory:
    """Return the path in another world, with noise."""
    rng = np.random.default_rng(seed)
    move = Similarity(Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3), scale)
    poses = move.apply(trajectory).world_from_camera
    poses[:, :3, 3] += rng.normal(size=(len(poses), 3)) * 0.02
    noise = Rotation.from_rotvec(rng.normal(size=(len(poses), 3)) * 0.01).as_matrix()
    poses[:, :3, :3] = poses[:, :3, :3] @ noise
    return Trajectory(trajectory.stamps_ns, poses)


def standing(trajectory: Trajectory) -> Trajectory:
    """Return the same stamps with every pose in one place."""
    poses = np.tile(trajectory.world_from_camera[0], (len(trajectory), 1, 1))
    return Trajectory(trajectory.stamps_ns, poses)


@pytest.mark.parametrize('align', ['sim3', 'se3', 'none'])
@pytest.mark.parametrize('delta', [1, 5])
def test_agrees_with_evo(align: str, delta: int) -> None:
    sync = pytest.importorskip('evo.core.sync', reason='evo is not installed (a test extra)')
    from evo.core import metrics
    from evo.core.trajectory import PoseTrajectory3D

    truth = wandering(1)
    estimate = disturbed(truth, 2, scale=0.4)
    # Every third pose is missing and the clocks differ by 3 ms, as real recordings have it.
    keep = np.arange(len(truth)) % 3 != 1
    estimate = Trajectory(
        estimate.stamps_ns[keep] + 3_000_000, estimate.world_from_camera[keep].copy()
    )

    def to_evo(trajectory: Trajectory) -> object:
        return PoseTrajectory3D(
            poses_se3=list(trajectory.world_from_camera),
            timestamps=trajectory.stamps_ns.astype(float) * 1e-9,
        )

    reference, aligned = sync.associate_trajectories(
        to_evo(truth), to_evo(estimate), max_diff=0.01
    )
    scale = 1.0
    if align != 'none':
        _, _, scale = aligned.align(reference, correct_scale=align == 'sim3')

    ours = evaluate(estimate, truth, align, max_difference_ns=10_000_000, delta=delta)

    assert ours.matched == reference.num_poses == keep.sum()
    assert ours.scale == pytest.approx(scale, rel=1e-9)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, aligned))
    for name, value in ape.get_all_statistics().items():
        if hasattr(ours.ate, name):
            assert getattr(ours.ate, name) == pytest.approx(value, abs=1e-9)
    for relation, result in (
        (metrics.PoseRelation.translation_part, ours.rpe_translation),
        (metrics.PoseRelation.rotation_angle_deg, ours.rpe_rotation_deg),
    ):
        rpe = metrics.RPE(relation, delta=delta, all_pairs=True)
        rpe.process_data((reference, aligned))
        for name in ('rmse', 'mean', 'median', 'max'):
            assert getattr(result, name) == pytest.approx(rpe.get_all_statistics()[name], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100.0))
def test_alignment_undoes_any_similarity(seed: int, scale: float) -> None:
    truth = wandering(seed, count=12)
    move = Similarity(Rotation.random(random_state=seed).as_matrix(), np.ones(3), scale)
    result = evaluate(move.apply(truth), truth, 'sim3')
    assert result.scale == pytest.approx(1 / scale, rel=1e-9)
    assert result.ate.max < 1e-9
    assert result.rpe_translation is not None and result.rpe_translation.max < 1e-9


def test_mirrored_points_get_a_proper_rotation() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    fit = fit_similarity(points, points * [-1, 1, 1], with_scale=False)
    assert np.linalg.det(fit.rotation) == pytest.approx(1.0)


def test_points_on_a_line_are_aligned() -> None:
    truth = wandering(0)
    poses = np.tile(np.eye(4), (len(truth), 1, 1))
    poses[:, 0, 3] = np.arange(len(truth)) * 0.1
    line = Trajectory(truth.stamps_ns, poses)
    move = Similarity(Rotation.random(random_state=3).as_matrix(), np.ones(3), 2.0)
    result = evaluate(move.apply(line), line, 'sim3')
    assert result.ate.max < 1e-9
    assert result.scale == pytest.approx(0.5)


def test_known_errors_by_hand() -> None:
    truth = standing(wandering(0, count=4))
    poses = truth.world_from_camera.copy()
    poses[:, 0, 3] += [0.0, 3.0, 0.0, 0.0]
    result = evaluate(Trajectory(truth.stamps_ns, poses), truth, 'none')
    assert result.ate.rmse == pytest.approx(1.5)
    assert result.ate.mean == pytest.approx(0.75)
    assert result.ate.median == 0.0
    assert result.ate.max == pytest.approx(3.0)
    assert result.rpe_translation is not None
    assert result.rpe_translation.max == pytest.approx(3.0)
    assert math.isnan(result.ate_percent) and math.isnan(result.ate_normalised)


def test_normalised_error_does_not_depend_on_the_unit() -> None:
    truth = wandering(5)
    estimate = disturbed(truth, 6)
    larger = Similarity(np.eye(3), np.zeros(3), 1000.0)
    small = evaluate(estimate, truth, 'sim3')
    large = evaluate(larger.apply(estimate), larger.apply(truth), 'sim3')
    assert large.ate_normalised == pytest.approx(small.ate_normalised, rel=1e-9)
    assert large.ate_percent == pytest.approx(small.ate_percent, rel=1e-9)


def test_trace_normalised_error_by_hand() -> None:
    # A square whose corners are lifted by +h and -h in turn: no similarity does better than none.
    h = 0.5
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
    lifted = square + np.array([[0, 0, h], [0, 0, -h], [0, 0, h], [0, 0, -h]])
    # Traces 8 and 8 + 4 h^2; the cosine between the two, normalised, is the square root of their
    # ratio, and what is left after the best scale is 1 minus its square.
    left = 1.0 - 8.0 / (8.0 + 4.0 * h**2)
    expected = math.sqrt(left / 12.0)
    assert trace_normalised_error(lifted, square) == pytest.approx(expected)


def test_trace_normalised_error_is_a_share_of_the_usual_one() -> None:
    truth = wandering(5)
    result = evaluate(disturbed(truth, 6, scale=0.3), truth, 'sim3')
    assert result.ate_trace_normalised * math.sqrt(3) == pytest.approx(result.ate_normalised)
    again = evaluate(disturbed(truth, 6, scale=0.3), truth, 'none')
    assert again.ate_trace_normalised == pytest.approx(result.ate_trace_normalised)


def test_trace_normalised_error_allows_a_reflection() -> None:
    points = wandering(3).positions
    assert trace_normalised_error(points * [-2.0, 2.0, 2.0], points) == pytest.approx(
        0.0, abs=1e-9
    )


def test_trace_normalised_error_of_standing_still_is_unknown() -> None:
    truth = wandering(0)
    for one, other in ((standing(truth), truth), (truth, standing(truth))):
        assert math.isnan(trace_normalised_error(one.positions, other.positions))


def test_coverage_counts_missing_poses() -> None:
    truth = wandering(7)
    half = Trajectory(truth.stamps_ns[:30], truth.world_from_camera[:30])
    result = evaluate(half, truth)
    assert result.coverage == 0.5
    assert (result.matched, result.poses, result.ground_truth_poses) == (30, 30, 60)


def test_association_is_one_to_one_and_nearest() -> None:
    first = np.array([0, 100, 200, 300])
    second = np.array([90, 95, 104, 205, 500])
    ours, theirs = associate(first, second, 10)
    assert ours.tolist() == [1, 2]
    assert theirs.tolist() == [2, 3]
    again, back = associate(second, first, 10)
    assert (again.tolist(), back.tolist()) == ([2, 3], [1, 2])


@pytest.mark.parametrize('count', [0, 1])
def test_association_with_nothing_or_one(count: int) -> None:
    ours, theirs = associate(np.arange(count), np.array([0]), 5)
    assert len(ours) == len(theirs) == count


def test_large_stamps_are_compared_exactly() -> None:
    start = 1_700_000_000 * SECOND
    ours, _ = associate(np.array([start]), np.array([start + 101]), 100)
    assert len(ours) == 0


def test_no_overlap_names_both_spans() -> None:
    truth = wandering(0)
    later = Trajectory(truth.stamps_ns + 1000 * SECOND, truth.world_from_camera)
    with pytest.raises(EvaluationError, match=r'1700\.000 to .*--max-difference'):
        evaluate(later, truth)


def test_empty_trajectory_says_so() -> None:
    truth = wandering(0)
    empty = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    with pytest.raises(EvaluationError, match='the trajectory has no poses'):
        evaluate(empty, truth)


def test_two_poses_cannot_be_aligned() -> None:
    truth = wandering(0)
    two = Trajectory(truth.stamps_ns[:2], truth.world_from_camera[:2])
    with pytest.raises(EvaluationError, match='at least 3'):
        evaluate(two, truth)
    assert evaluate(two, truth, 'none').matched == 2


@pytest.mark.parametrize('align', ['sim3', 'se3'])
def test_standing_still_cannot_be_aligned(align: str) -> None:
    truth = wandering(0)
    with pytest.raises(EvaluationError, match='in one place'):
        evaluate(standing(truth), truth, align)
    with pytest.raises(EvaluationError, match='in one place'):
        evaluate(truth, standing(truth), align)


def test_unknown_choices_are_usage_errors() -> None:
    truth = wandering(0)
    with pytest.raises(UsageError, match='sim3, se3, none'):
        evaluate(truth, truth, 'affine')
    with pytest.raises(UsageError, match='delta'):
        evaluate(truth, truth, delta=0)


def test_one_pose_has_no_relative_error() -> None:
    truth = wandering(0)
    one = Trajectory(truth.stamps_ns[:1], truth.world_from_camera[:1])
    result = evaluate(one, truth, 'none')
    assert result.rpe_translation is None and result.rpe_rotation_deg is None
