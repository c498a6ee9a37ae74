# SPDX-License-Identifier: Apache-2.0
"""Errors of a trajectory against the truth, and how they are summed up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

Poses = Float[np.ndarray, 'n 4 4']
# Spread of a point set, relative to its distance from the origin, below which it is one point.
COINCIDENT = 1e-12


@dataclass(frozen=True)
class ErrorStatistics:
    """Root mean square, mean, median and largest value of one kind of error."""

    rmse: float
    mean: float
    median: float
    max: float

    @classmethod
    def of(cls, errors: Float[np.ndarray, ' n']) -> ErrorStatistics:
        """Sum up at least one error."""
        return cls(
            rmse=float(np.sqrt(np.mean(np.square(errors)))),
            mean=float(np.mean(errors)),
            median=float(np.median(errors)),
            max=float(np.max(errors)),
        )


def position_errors(estimate: Poses, truth: Poses) -> Float[np.ndarray, ' n']:
    """Return the distance between the positions of paired poses, metres, (N,)."""
    difference = estimate[:, :3, 3] - truth[:, :3, 3]
    return np.sqrt(np.square(difference).sum(axis=1))


def relative_errors(
    estimate: Poses, truth: Poses, delta: int
) -> tuple[Float[np.ndarray, ' m'], Float[np.ndarray, ' m']]:
    """Return the error of the motion over ``delta`` poses, for each pose that has a partner.

    Each is the motion left over when the estimated motion is undone by the true one, as in the
    TUM RGB-D benchmark.

    Returns:
        Length of the left-over translation (metres) and angle of its rotation (degrees), (N -
        delta,) each; empty when there are not more than ``delta`` poses.
    """
    true_motion = np.linalg.inv(truth[:-delta]) @ truth[delta:]
    estimated_motion = np.linalg.inv(estimate[:-delta]) @ estimate[delta:]
    error = np.linalg.inv(true_motion) @ estimated_motion
    if len(error) == 0:
        return np.empty(0), np.empty(0)
    angles = Rotation.from_matrix(error[:, :3, :3]).magnitude()
    return np.linalg.norm(error[:, :3, 3], axis=1), np.degrees(angles)


def trace_normalised_error(
    positions: Float[np.ndarray, 'n 3'], truth: Float[np.ndarray, 'n 3']
) -> float:
    """Return the trajectory error as FlowMap states it (Smith et al., 3DV 2025).

    Both sets of camera centres are centred and scaled so that the trace of X X^T is 1; an
    orthogonal map, which may be a reflection, and one more scale lay the first over the second;
    what is left is the root of the mean square of all 3 N coordinates. Without the reflection it
    would be 1 / sqrt(3) of the RMSE of Sim(3)-aligned positions over the spread of the truth.

    Returns:
        The error, without unit; NaN where either path stands still.
    """
    for points in (positions, truth):
        spread = np.abs(points - points.mean(axis=0)).max()
        if spread <= COINCIDENT * max(1.0, float(np.abs(points).max())):
            return float('nan')
    first, second, _ = procrustes(truth, positions)
    return float(np.sqrt(np.mean(np.square(first - second))))
