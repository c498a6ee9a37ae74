# SPDX-License-Identifier: Apache-2.0
"""How well the scale of a key frame's map is known, and what that means for poses in it.

Points that were found by motion have depths that are all too long or too short by one factor,
the error of the ways between the key frames they were seen from. It does not average out over
points, so it is told apart from their own errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from flowcam_ros.geometry.covariance import Matrix6, symmetric
from flowcam_ros.geometry.se3 import Vector3, skew

# Depths of which nothing is known are wrong by this share; so is a scale.
UNKNOWN = 0.5
# So many neighbouring points have depths that err alike.
_ALIKE = 10.0


@dataclass(frozen=True)
class MapScale:
    """Error of the scale of a map: the true lengths are exp(ds) times as long.

    Attributes:
        variance: of ds; 0 where depth is measured.
        with_pose: (6,) covariance of ds and the error of the key frame's pose, world axes.
    """

    variance: float = 0.0
    with_pose: Float[np.ndarray, '6'] = field(default_factory=lambda: np.zeros(6))

    @property
    def of_length(self) -> float:
        """Variance of a length as a share of it; ds is normal, so lengths are log-normal."""
        return float(np.expm1(self.variance) * np.exp(self.variance))

    def of_pose(self, offset: Vector3) -> Matrix6:
        """Return what the scale adds to the covariance of a pose in the map, world axes.

        Args:
            offset: way from the key frame to the pose, world axes.
        """
        along, turned = np.concatenate([offset, np.zeros(3)]), self._turned(offset)
        both = np.outer(along, turned)
        return symmetric(self.of_length * np.outer(along, along) + both + both.T)

    def carried(self, offset: Vector3, lost: float) -> MapScale:
        """Return the scale of a key frame whose depths come from this one's.

        Args:
            offset: way to it, world axes.
            lost: variance that carrying them added, see :func:`lost_scale`.
        """
        along = np.concatenate([offset, np.zeros(3)])
        with_pose = self._turned(offset) + self.variance * along
        return MapScale(self.variance + lost, with_pose)

    def _turned(self, offset: Vector3) -> Float[np.ndarray, '6']:
        turned = self.with_pose.copy()
        turned[:3] -= skew(offset) @ self.with_pose[3:]
        return turned


# Depth was measured: its scale is right.
MEASURED = MapScale()


def lost_scale(inverse_depth: Float[np.ndarray, ' n'], variance: Float[np.ndarray, ' n']) -> float:
    """Return the variance of the mean logarithm of depths from what is known of each.

    Points of unknown depth say nothing of the scale.
    """
    square = inverse_depth.astype(np.float64) ** 2
    known = square / np.maximum(variance, 1e-12 * square + 1e-30)
    information = np.maximum(known - 1.0 / UNKNOWN**2, 0.0).sum() / _ALIKE
    return float(1.0 / (information + 1.0 / UNKNOWN**2))
