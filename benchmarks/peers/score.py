# SPDX-License-Identifier: Apache-2.0
"""Figures of one run: errors against the truth, coverage, time, memory, consistency."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.association import associate
from flowcam_ros.evaluation.evaluate import DEFAULT_MAX_DIFFERENCE_NS, Evaluation, evaluate
from flowcam_ros.evaluation.tracking import Run
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState

# What a worker tells of each frame that is held against the truth.
_JUDGED = (
    'stamps_ns',
    'poses',
    'believed',
    'states',
    'covariances',
    'twists',
    'twist_covariances',
)
ALIGNMENTS = {'depth': 'se3', 'mono': 'sim3'}


def score(run: dict[str, Any], truth: Trajectory, mode: str) -> dict[str, Any]:
    """Return the figures of a worker's result; None where a figure cannot be told.

    Errors are those of the believed poses; ``ate_all_mm`` counts every frame. Where a system
    began its world anew, both are of the longest epoch, and so is the coverage: the share of all
    frames that are believed in it. The first frame, in which libraries set themselves up, does
    not count in the times.
    """
    frames = len(run['epochs'])
    judged = longest_epoch(run)
    believed = np.array(judged['believed'], bool)
    path = Trajectory(np.array(judged['stamps_ns'], np.int64), np.array(judged['poses'], float))
    errors = _errors(path, believed, truth, mode)
    everywhere = _errors(path, np.ones(len(path), bool), truth, mode)
    wall, cpu = run['wall_ms'][1:], run['cpu_ms'][1:]
    p50, p95 = np.percentile(wall, [50, 95]) if wall else (None, None)
    anees, anees_twist = consistency(judged, path, truth, everywhere)
    return {
        'frames': frames,
        'epochs': len(set(run['epochs'])),
        'frames_of_epoch': len(path),
        'coverage': float(believed.sum()) / frames if frames else 0.0,
        'ate_mm': errors and 1e3 * errors.ate.rmse,
        'ate_percent': errors and errors.ate_percent,
        'ate_all_mm': everywhere and 1e3 * everywhere.ate.rmse,
        'rpe_mm': errors and errors.rpe_translation and 1e3 * errors.rpe_translation.median,
        'rpe_deg': errors and errors.rpe_rotation_deg and errors.rpe_rotation_deg.median,
        'frame_ms': p50,
        'frame_ms_p95': p95,
        'frames_per_s': 1e3 / statistics.fmean(wall) if wall else None,
        'cpu_ms': statistics.fmean(cpu) if cpu else None,
        'peak_mb': run['peak_mb'],
        'anees': anees,
        'anees_twist': anees_twist,
        'states': dict(Counter(state for state in run['states'] if state)),
    }


def longest_epoch(run: dict[str, Any]) -> dict[str, Any]:
    """Return what is held against the truth: of the epoch with the most frames, or the first."""
    counts = Counter(run['epochs'])
    longest = max(counts, key=lambda epoch: counts[epoch], default=0)
    chosen = [i for i, epoch in enumerate(run['epochs']) if epoch == longest]
    return {key: [run[key][i] for i in chosen] for key in _JUDGED}


def _errors(
    path: Trajectory, chosen: np.ndarray, truth: Trajectory, mode: str
) -> Evaluation | None:
    """Evaluate the chosen poses; None where there are too few to say anything."""
    part = Trajectory(path.stamps_ns[chosen], path.world_from_camera[chosen])
    try:
        return evaluate(part, truth, ALIGNMENTS[mode])
    except EvaluationError:
        return None


def consistency(
    run: dict[str, Any], path: Trajectory, truth: Trajectory, errors: Evaluation | None
) -> tuple[float | None, float | None]:
    """Return the ANEES of poses and of velocities, where both are believed; None if unknown.

    The worlds are joined where the path begins. Without depth the path takes the scale that
    brings it closest to the truth before the first loss.
    """
    index, true_index = associate(path.stamps_ns, truth.stamps_ns, DEFAULT_MAX_DIFFERENCE_NS)
    told = [run['covariances'][i] is not None for i in index]
    if errors is None or not any(told):
        return None, None
    estimates = [_estimate(run, path, i) for i in index[told]]
    beside = Run.of(estimates, truth.world_from_camera[true_index[told]])
    if errors.align == 'sim3':
        beside = beside.scaled(beside.best_scale(errors.scale))
    return _mean(beside.pose_squares), _mean(beside.twist_squares)


def _estimate(run: dict[str, Any], path: Trajectory, i: int) -> PoseEstimate:
    return PoseEstimate(
        stamp_ns=int(path.stamps_ns[i]),
        state=TrackingState[run['states'][i].upper()],
        reason='',
        world_from_camera=path.world_from_camera[i],
        covariance=np.array(run['covariances'][i], float),
        twist=np.array(run['twists'][i], float),
        twist_covariance=np.array(run['twist_covariances'][i], float),
    )


def _mean(squares: Callable[[], Float[np.ndarray, ' n']]) -> float | None:
    """Return the mean of what is computed; None where it cannot be or is empty."""
    try:
        found = squares()
    except EvaluationError:
        return None
    return float(found.mean()) if len(found) else None
