# SPDX-License-Identifier: Apache-2.0
"""Errors of depth, solved by hand and drawn from known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.depth import DepthPair, depth_error


def pair(depth: list[float], truth: list[float], sigma: float = 0.11) -> DepthPair:
    """Return maps of one row; 0 is unknown."""
    z = np.array([depth])
    inverse = np.divide(1.0, z, out=np.zeros_like(z), where=z > 0)
    variance = np.where(inverse > 0, sigma**2, np.inf)
    return DepthPair(inverse, variance, np.array([truth]))


def test_errors_by_hand() -> None:
    result = depth_error([pair([2.0, 1.0, 0.0, 5.0], [2.5, 1.0, 3.0, 0.0])], fit_scale=False)
    assert (result.frames, result.pixels, result.scale) == (1, 2, 1.0)
    assert result.coverage == pytest.approx(2 / 3)
    assert result.abs_rel == pytest.approx((0.5 / 2.5 + 0.0) / 2)
    assert result.rmse == pytest.approx(np.sqrt(0.25 / 2))
    assert result.delta_1_25 == 0.5  # 2.5 / 2 is not below 1.25
    assert result.within_1_sigma == 1.0  # 1 / 2 - 1 / 2.5 is 0.91 sigma
    assert result.sigma_rank_correlation is None


def test_one_scale_for_all_maps() -> None:
    # Ratios 2, 2, 2, 4: the median scale makes all but the last right.
    pairs = [pair([1.0, 2.0], [2.0, 4.0]), pair([1.0, 2.0], [2.0, 8.0])]
    result = depth_error(pairs, fit_scale=True)
    assert result.scale == pytest.approx(2.0)
    assert result.abs_rel == pytest.approx(0.5 / 4)
    assert result.delta_1_25 == pytest.approx(0.75)
    assert result.frames == 2


@pytest.mark.parametrize('scale', [1.0, 0.05, 300.0])
def test_the_unit_of_the_estimate_does_not_matter_once_it_is_fitted(scale: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(1.0, 5.0, (40, 50))
    sigma = rng.uniform(0.002, 0.05, truth.shape)
    inverse = (1.0 / truth + sigma * rng.normal(size=truth.shape)) * scale
    variance = (sigma * scale) ** 2
    result = depth_error([DepthPair(inverse, variance, truth)], fit_scale=True)
    assert result.scale == pytest.approx(scale, rel=0.01)
    assert result.sigma_ratio == pytest.approx(1.0, abs=0.08)
    assert result.within_1_sigma == pytest.approx(0.683, abs=0.04)
    assert result.within_2_sigma == pytest.approx(0.954, abs=0.02)
    assert result.sigma_rank_correlation is not None
    assert result.sigma_rank_correlation > 0.4


def test_a_variance_that_boasts_is_found_out() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(1.0, 5.0, (40, 50))
    inverse = 1.0 / truth + 0.01 * rng.normal(size=truth.shape)
    boast = np.full(truth.shape, 0.0025**2) * rng.uniform(0.99, 1.01, truth.shape)
    result = depth_error([DepthPair(inverse, boast, truth)], fit_scale=False)
    assert result.sigma_ratio == pytest.approx(4.0, rel=0.1)
    assert result.sigma_rank_correlation == pytest.approx(0.0, abs=0.1)


def test_large_maps_are_thinned_but_counted_whole() -> None:
    truth = np.full((300, 400), 2.0)
    result = depth_error([DepthPair(1 / truth, np.full_like(truth, 0.01), truth)], fit_scale=True)
    assert result.pixels == 120_000
    assert result.rmse == pytest.approx(0.0, abs=1e-6)


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(EvaluationError, match='no pixel'):
        depth_error([pair([0.0, 2.0], [1.0, 0.0])], fit_scale=True)
