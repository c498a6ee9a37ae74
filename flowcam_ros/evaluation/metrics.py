# SPDX-License-Identifier: Apache-2.0
"""Errors of a trajectory against the truth, and how they are summed up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

Poses = Float[np.ndarray, 'n 4 4']


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
