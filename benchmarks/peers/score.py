# SPDX-License-Identifier: Apache-2.0
"""Figures of one run: errors against the truth, coverage, time, memory, consistency."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

import numpy as np

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.association import associate
from flowcam_ros.evaluation.consistency import anees, pose_errors
from flowcam_ros.evaluation.evaluate import DEFAULT_MAX_DIFFERENCE_NS, Evaluation, evaluate
from flowcam_ros.geometry.trajectory import Trajectory

ALIGNMENTS = {'depth': 'se3', 'mono': 'sim3'}


def score(run: dict[str, Any], truth: Trajectory, mode: str) -> dict[str, Any]:
    """Return the figures of a worker's result; None where a figure cannot be told.

    Errors are those of the believed poses; ``ate_all_mm`` counts every frame. The first frame,
    in which libraries set themselves up, does not count in the times.
    """
    believed = np.array(run['believed'], bool)
    path = Trajectory(np.array(run['stamps_ns'], np.int64), np.array(run['poses'], float))
    errors = _errors(path, believed, truth, mode)
    everywhere = _errors(path, np.ones(len(path), bool), truth, mode)
    wall, cpu = run['wall_ms'][1:], run['cpu_ms'][1:]
    p50, p95 = np.percentile(wall, [50, 95]) if wall else (None, None)
    return {
        'frames': len(path),
        'coverage': float(believed.mean()) if len(path) else 0.0,
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
        'anees': consistency(run, path, believed, truth, everywhere),
        'states': dict(Counter(state for state in run['states'] if state)),
    }


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
    run: dict[str, Any],
    path: Trajectory,
    believed: np.ndarray,
    truth: Trajectory,
    errors: Evaluation | None,
) -> float | None:
    """Return the ANEES of the believed poses; the worlds are joined at the first frame.

    Without depth the poses take the scale of the alignment. None without covariances or truth.
    """
    if errors is None or any(covariance is None for covariance in run['covariances']):
        return None
    index, true_index = associate(path.stamps_ns, truth.stamps_ns, DEFAULT_MAX_DIFFERENCE_NS)
    if len(index) < 2 or index[0] != 0:
        return None
    units = np.diag([errors.scale] * 3 + [1.0] * 3)
    poses = path.world_from_camera[index].copy()
    poses[:, :3, 3] *= errors.scale
    covariances = units @ np.array(run['covariances'], float)[index] @ units
    true = truth.world_from_camera[true_index]
    true = poses[0] @ np.linalg.inv(true[0]) @ true
    chosen = believed[index]
    chosen[0] = False
    try:
        return anees(pose_errors(poses[chosen], true[chosen]), covariances[chosen])
    except EvaluationError:
        return None
