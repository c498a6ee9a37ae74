# SPDX-License-Identifier: Apache-2.0
"""Hold a trajectory against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowcam_ros.errors import EvaluationError, UsageError
from flowcam_ros.evaluation.alignment import Similarity, fit_similarity
from flowcam_ros.evaluation.association import Indices, associate
from flowcam_ros.evaluation.metrics import (
    ErrorStatistics,
    position_errors,
    relative_errors,
    trace_normalised_error,
)
from flowcam_ros.geometry.trajectory import Trajectory

ALIGNMENTS = ('sim3', 'se3', 'none')
DEFAULT_MAX_DIFFERENCE_NS = 20_000_000


@dataclass(frozen=True)
class Evaluation:
    """Errors of a trajectory after alignment; lengths in the unit of the ground truth (metres).

    Attributes:
        align: ``sim3`` (rotation, translation, scale), ``se3`` (no scale) or ``none``.
        scale: factor by which the trajectory was multiplied.
        matched: number of poses with a true pose near in time.
        poses: number of poses of the trajectory.
        ground_truth_poses: number of poses of the ground truth.
        coverage: ``matched / ground_truth_poses``.
        path_length: length of the true path through the matched poses.
        ate: absolute trajectory error: distance between paired positions.
        ate_percent: RMSE of it in percent of the path length; NaN when the truth stands still.
        ate_normalised: RMSE of it when the true positions are centred and scaled so that their
            squares sum to 1; NaN when the truth stands still.
        ate_trace_normalised: the error by which FlowMap's paper compares, see
            :func:`trace_normalised_error`; it has an alignment of its own, whatever ``align`` is.
        rpe_delta: number of matched poses over which relative errors are taken.
        rpe_translation: relative error, metres over ``rpe_delta`` poses; None with too few poses.
        rpe_rotation_deg: the same for the rotation, degrees.
        alignment: the similarity that was applied to the trajectory.
    """

    align: str
    scale: float
    matched: int
    poses: int
    ground_truth_poses: int
    coverage: float
    path_length: float
    ate: ErrorStatistics
    ate_percent: float
    ate_normalised: float
    ate_trace_normalised: float
    rpe_delta: int
    rpe_translation: ErrorStatistics | None
    rpe_rotation_deg: ErrorStatistics | None
    alignment: Similarity


def evaluate(
    trajectory: Trajectory,
    ground_truth: Trajectory,
    align: str = 'se3',
    *,
    max_difference_ns: int = DEFAULT_MAX_DIFFERENCE_NS,
    delta: int = 1,
) -> Evaluation:
    """Associate by stamp, align the trajectory to the ground truth and measure its errors.

    Raises:
        UsageError: ``align`` or ``delta`` is not one of the allowed values.
        EvaluationError: no stamps match, or too few or degenerate poses for the alignment.
    """
    if align not in ALIGNMENTS:
        raise UsageError(f'align: {align!r} is not one of {", ".join(ALIGNMENTS)}')
    if delta < 1:
        raise UsageError(f'delta: {delta} is not a positive number of poses')
    index, true_index = associate(trajectory.stamps_ns, ground_truth.stamps_ns, max_difference_ns)
    if len(index) == 0:
        raise EvaluationError(_no_match(trajectory, ground_truth, max_difference_ns))
    matched, truth = _take(trajectory, index), _take(ground_truth, true_index)
    alignment = (
        Similarity.identity()
        if align == 'none'
        else fit_similarity(matched.positions, truth.positions, with_scale=align == 'sim3')
    )
    estimate = alignment.apply(matched).world_from_camera
    ate = ErrorStatistics.of(position_errors(estimate, truth.world_from_camera))
    translation, rotation = relative_errors(estimate, truth.world_from_camera, delta)
    spread = float(np.linalg.norm(truth.positions - truth.positions.mean(axis=0)))
    length = truth.path_length
    return Evaluation(
        align=align,
        scale=alignment.scale,
        matched=len(index),
        poses=len(trajectory),
        ground_truth_poses=len(ground_truth),
        coverage=len(index) / len(ground_truth),
        path_length=length,
        ate=ate,
        ate_percent=100.0 * ate.rmse / length if length > 0 else float('nan'),
        ate_normalised=ate.rmse / spread if spread > 0 else float('nan'),
        ate_trace_normalised=trace_normalised_error(matched.positions, truth.positions),
        rpe_delta=delta,
        rpe_translation=ErrorStatistics.of(translation) if len(translation) else None,
        rpe_rotation_deg=ErrorStatistics.of(rotation) if len(rotation) else None,
        alignment=alignment,
    )


def _take(trajectory: Trajectory, index: Indices) -> Trajectory:
    return Trajectory(trajectory.stamps_ns[index], trajectory.world_from_camera[index])


def _no_match(trajectory: Trajectory, ground_truth: Trajectory, max_difference_ns: int) -> str:
    """Say why no stamp matches: an empty side, no common time, or too small a limit."""
    if not len(trajectory) or not len(ground_truth):
        return f'the {"ground truth" if len(trajectory) else "trajectory"} has no poses'
    spans = [
        f'{t.stamps_ns[0] * 1e-9:.3f} to {t.stamps_ns[-1] * 1e-9:.3f} s'
        for t in (trajectory, ground_truth)
    ]
    return (
        f'no stamps match within {max_difference_ns * 1e-9:g} s: the trajectory runs from '
        f'{spans[0]}, the ground truth from {spans[1]}; check the clocks or raise the limit '
        '(--max-difference)'
    )
