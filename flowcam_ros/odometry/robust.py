# SPDX-License-Identifier: Apache-2.0
"""Student's t as the distribution of residuals, and robust numbers taken from it."""

from __future__ import annotations

from torch import Tensor

# Close to least squares inside, weights like 1 / r^2 outside.
_DEGREES_OF_FREEDOM = 4.0
# Half of the squared errors of two degrees of freedom lie below 2 ln 2.
_MEDIAN_CHI2 = 1.386
# Errors far below their variances mean that the variances are too large, not perfect data.
_MIN_SCALE = 0.3
# Squared error of points behind the camera: beyond any inlier.
CHI2_BEHIND = 1e6


def student_weight(chi2: Tensor, dimension: float) -> Tensor:
    """Return the weight of residuals from their squared length in units of variance."""
    return (_DEGREES_OF_FREEDOM + dimension) / (_DEGREES_OF_FREEDOM + chi2)


def student_cost(chi2: Tensor, dimension: float) -> Tensor:
    """Return the negative log likelihood of Student's t, up to a constant."""
    return 0.5 * (_DEGREES_OF_FREEDOM + dimension) * (chi2 / _DEGREES_OF_FREEDOM).log1p()


def robust_scale(chi2: Tensor) -> float:
    """Return by how much 2-D errors exceed what their variances say (standard deviation).

    Args:
        chi2: squared errors in units of variance, of points in the plane; none leave it at 1.
    """
    if not len(chi2):
        return 1.0
    return max(float((chi2.median() / _MEDIAN_CHI2) ** 0.5), _MIN_SCALE)
