# SPDX-License-Identifier: Apache-2.0
"""How much residuals count, and robust numbers taken from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

# Student's t: close to least squares inside, weights like 1 / r^2 outside.
_DEGREES_OF_FREEDOM = 4.0
# The scale is taken from this share of the errors, the smallest, and the normal quantile of it:
# that leaves it alone even where most points are on things that move.
_LOW_SHARE, _LOW_QUANTILE = 0.3, -0.5244
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


def sifting_weight(chi2: Tensor, dimension: float) -> Tensor:
    """Return the same of a cost that levels off (Geman and McClure 1985)."""
    return (1.0 + chi2 / _turning_point(dimension)) ** -2


def sifting_cost(chi2: Tensor, dimension: float) -> Tensor:
    """Return the cost that :func:`sifting_weight` belongs to."""
    return 0.5 * chi2 / (1.0 + chi2 / _turning_point(dimension))


def _turning_point(dimension: float) -> float:
    return 4.0 + 2.5 * dimension


def robust_scale(chi2: Tensor, freedom: float = 2.0) -> float:
    """Return by how much errors exceed what their variances say (standard deviation).

    Args:
        chi2: squared errors in units of variance, of points in the plane; none leave it at 1.
        freedom: degrees of freedom of each: 2, less what unknowns have absorbed.
    """
    if not len(chi2):
        return 1.0
    rank = max(1, round(_LOW_SHARE * len(chi2)))
    expected = _low_chi2(freedom)
    return max(float((chi2.kthvalue(rank).values / expected) ** 0.5), _MIN_SCALE)


def _low_chi2(freedom: float) -> float:
    """Return what the low share of squared errors lies below (Wilson and Hilferty 1931)."""
    spread = 2.0 / (9.0 * freedom)
    return float(freedom * (1.0 - spread + _LOW_QUANTILE * spread**0.5) ** 3)


@dataclass(frozen=True)
class Kernel:
    """A robust cost of residuals, as functions of their squared length and their dimension.

    Attributes:
        weight: of the residuals in the normal equations.
        cost: that the weights belong to.
    """

    weight: Callable[[Tensor, float], Tensor]
    cost: Callable[[Tensor, float], Tensor]


# Finds its way from far, but many outliers of one mind pull it along.
FORGIVING = Kernel(student_weight, student_cost)
# Needs a good start; a thing that moves before the camera pulls no more.
SIFTING = Kernel(sifting_weight, sifting_cost)
