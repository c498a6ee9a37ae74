# SPDX-License-Identifier: Apache-2.0
"""Figures of one run: what is registered, errors against the truth, time and memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.evaluate import Evaluation, evaluate
from flowcam_ros.evaluation.focal import focal_error
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.trajectory import Trajectory


def score(
    answer: dict[str, Any], truth: Trajectory, camera: CameraModel, frames: int
) -> dict[str, Any]:
    """Return the figures of a worker's result; None where a figure cannot be told.

    Args:
        answer: what the worker printed.
        truth: the true path.
        camera: calibration of the recording.
        frames: pictures that the system was given.
    """
    errors = _errors(answer, truth)
    found = answer['camera']
    focal = None
    if found is not None:
        found = found | {'distortion': tuple(found['distortion'])}
        focal = focal_error(CameraModel(**found), camera).error_percent
    return {
        'frames': frames,
        'registered': answer['registered'] / frames,
        'ate': errors and errors.ate.rmse,
        'ate_normalised': errors and errors.ate_normalised,
        'ate_flowmap': errors and errors.ate_trace_normalised,
        'focal_percent': focal,
        'seconds': answer['seconds'],
        'cpu_s': answer['cpu_s'],
        'peak_mb': answer['peak_mb'],
        'gpu_peak_mb': answer['gpu_peak_mb'],
    }


def _errors(answer: dict[str, Any], truth: Trajectory) -> Evaluation | None:
    """Evaluate all poses; None where there are too few to say anything."""
    poses = np.array(answer['poses'], float).reshape(-1, 4, 4)
    path = Trajectory(np.array(answer['stamps_ns'], np.int64), poses)
    try:
        return evaluate(path, truth, 'sim3')
    except EvaluationError:
        return None
