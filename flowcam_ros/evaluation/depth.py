# SPDX-License-Identifier: Apache-2.0
"""Errors of dense depth, and how well its variance foretells them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from flowcam_ros.errors import EvaluationError

# So many pixels of a map at most are looked at, evenly spread: 400 maps then take 100 MB.
_PER_MAP = 20_000
# Ranks of more pixels than this are no surer.
_RANKED = 200_000
_CLOSE = 1.25
# Standard deviation of a normal distribution over its median absolute value.
_MEDIAN_TO_SIGMA = 1.4826
Values = Float[np.ndarray, ' n']
Map = Float[np.ndarray, 'height width']


@dataclass(frozen=True)
class DepthError:
    """Errors over all pixels whose true depth is known; metres.

    Attributes:
        frames: number of depth maps compared.
        pixels: number of pixels with a true and an estimated depth that were compared.
        coverage: share of the pixels with a true depth that have an estimated one.
        scale: what estimated depths were multiplied by: the median ratio over all frames, or 1.
        abs_rel: mean of the error over the true depth.
        rmse: root mean square error.
        delta_1_25: share of pixels off by less than a factor of 1.25.
        sigma_ratio: error of inverse depth in its own standard deviations: 1.48 times the median
            of the absolute values; 1 if the variance is right, 2 if errors are twice as large.
        within_1_sigma: share of errors within one standard deviation; 0.68 if it is right.
        within_2_sigma: within two; 0.95 if it is right.
        sigma_rank_correlation: Spearman's coefficient of standard deviation and absolute error;
            1 if the variance orders pixels by their errors; None if it is the same everywhere.
    """

    frames: int
    pixels: int
    coverage: float
    scale: float
    abs_rel: float
    rmse: float
    delta_1_25: float
    sigma_ratio: float
    within_1_sigma: float
    within_2_sigma: float
    sigma_rank_correlation: float | None


@dataclass(frozen=True)
class DepthPair:
    """One estimated map and the truth on its pixels.

    Attributes:
        inverse_depth: (height, width) estimated, 1 / unit; 0 where unknown.
        variance: (height, width) of it; infinite where unknown.
        truth: (height, width) true z, metres; 0 where unknown.
    """

    inverse_depth: Map
    variance: Map
    truth: Map


def depth_error(pairs: Iterable[DepthPair], *, fit_scale: bool) -> DepthError:
    """Return the errors over all maps together; one map is in memory at a time.

    Args:
        pairs: estimated and true depth.
        fit_scale: multiply all depths by one factor first, the median of truth over estimate.

    Raises:
        EvaluationError: no pixel has both a true and an estimated depth.
    """
    inverse, variance, truth = _Gathered(), _Gathered(), _Gathered()
    frames = known = 0
    for pair in pairs:
        frames += 1
        true = pair.truth > 0
        known += int(true.sum())
        both = true & (pair.inverse_depth > 0)
        inverse.add(pair.inverse_depth[both])
        variance.add(pair.variance[both])
        truth.add(pair.truth[both])
    if truth.total == 0:
        raise EvaluationError('no pixel has both a true and an estimated depth')
    estimate, scale = inverse.values(), 1.0
    true_inverse = 1.0 / truth.values()
    if fit_scale:
        scale = float(np.median(estimate / true_inverse))
    sigma = np.sqrt(variance.values()) / scale
    return _errors(estimate / scale, sigma, true_inverse, frames, truth.total, known, scale)


class _Gathered:
    """Values of many maps, thinned evenly."""

    def __init__(self) -> None:
        self.total = 0
        self._parts: list[Values] = []

    def add(self, values: Float[np.ndarray, ' m']) -> None:
        self.total += len(values)
        step = max(1, -(-len(values) // _PER_MAP))
        self._parts.append(values[::step].astype(np.float32))

    def values(self) -> Values:
        return np.concatenate(self._parts).astype(np.float64)


def _errors(
    inverse: Values,
    sigma: Values,
    true_inverse: Values,
    frames: int,
    pixels: int,
    known: int,
    scale: float,
) -> DepthError:
    depth, truth = 1.0 / inverse, 1.0 / true_inverse
    off = np.abs(depth - truth)
    ratio = np.maximum(inverse / true_inverse, true_inverse / inverse)
    wrong = np.abs(inverse - true_inverse)
    with np.errstate(divide='ignore', invalid='ignore'):
        sigmas = np.nan_to_num(wrong / sigma, nan=0.0)
    return DepthError(
        frames=frames,
        pixels=pixels,
        coverage=pixels / known,
        scale=scale,
        abs_rel=float(np.mean(off / truth)),
        rmse=float(np.sqrt(np.mean(np.square(off)))),
        delta_1_25=float(np.mean(ratio < _CLOSE)),
        sigma_ratio=_MEDIAN_TO_SIGMA * float(np.median(sigmas)),
        within_1_sigma=float(np.mean(sigmas <= 1.0)),
        within_2_sigma=float(np.mean(sigmas <= 2.0)),
        sigma_rank_correlation=_rank_correlation(sigma, wrong),
    )


def _rank_correlation(sigma: Values, wrong: Values) -> float | None:
    step = max(1, -(-len(sigma) // _RANKED))
    sigma, wrong = sigma[::step], wrong[::step]
    if np.ptp(sigma) == 0 or np.ptp(wrong) == 0:
        return None
    return float(np.corrcoef(rankdata(sigma), rankdata(wrong))[0, 1])
