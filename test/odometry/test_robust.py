# SPDX-License-Identifier: Apache-2.0
"""Robust kernels and scale: weights fit their cost, wild values do not count."""

import numpy as np
import pytest
import torch

from flowcam_ros.odometry.robust import FORGIVING, SIFTING, Kernel, robust_scale

KERNELS = pytest.mark.parametrize('kernel', [FORGIVING, SIFTING], ids=['forgiving', 'sifting'])


def chi2_of(count: int, sigma: float = 1.0) -> torch.Tensor:
    """Return squared lengths of normal errors in the plane."""
    errors = torch.randn(
        count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(count)
    )
    return (sigma * errors).square().sum(-1)


@KERNELS
@pytest.mark.parametrize('dimension', [1.0, 2.0])
def test_weight_is_the_derivative_of_the_cost(kernel: Kernel, dimension: float) -> None:
    """So that a reweighted step goes down the cost: d cost / d chi2 = weight / 2."""
    chi2 = torch.logspace(-4, 4, 50, dtype=torch.float64).requires_grad_()
    kernel.cost(chi2, dimension).sum().backward()
    assert chi2.grad is not None
    torch.testing.assert_close(kernel.weight(chi2.detach(), dimension), 2.0 * chi2.grad)


@KERNELS
def test_larger_errors_cost_more_and_count_less(kernel: Kernel) -> None:
    chi2 = torch.linspace(0, 500, 200, dtype=torch.float64)
    assert (kernel.cost(chi2, 2.0).diff() > 0).all()
    assert (kernel.weight(chi2, 2.0).diff() < 0).all()
    assert (kernel.weight(chi2, 2.0) > 0).all()
    assert float(kernel.cost(chi2[:1], 2.0)) == 0.0


def test_the_sifting_kernel_stops_pulling_where_the_forgiving_one_goes_on() -> None:
    near, far = torch.tensor([100.0, 10000.0], dtype=torch.float64)
    rise = [float(k.cost(far, 2.0) - k.cost(near, 2.0)) for k in (FORGIVING, SIFTING)]
    assert rise[1] < 0.1 * rise[0]


@pytest.mark.parametrize('sigma', [0.5, 1.0, 3.0])
def test_scale_is_the_standard_deviation(sigma: float) -> None:
    assert robust_scale(chi2_of(20000, sigma)) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize('share', [0.2, 0.4, 0.6])
def test_scale_ignores_wild_values(share: float) -> None:
    """Up to 60 % of them: the low ranks they take away leave it of the same size."""
    chi2 = chi2_of(5000)
    wild = round(share * len(chi2))
    chi2[:wild] = 1e5
    assert 1.0 <= robust_scale(chi2) < 2.2


def test_scale_does_not_believe_in_perfect_data() -> None:
    assert 0.1 < robust_scale(torch.zeros(50, dtype=torch.float64)) < 1.0


def test_scale_of_a_single_value() -> None:
    assert robust_scale(torch.tensor([4.0], dtype=torch.float64)) > 0


@pytest.mark.parametrize('freedom', [1.0, 1.3, 1.7, 2.0])
def test_scale_allows_for_what_unknowns_have_absorbed(freedom: float) -> None:
    chi2 = torch.from_numpy(np.random.default_rng(0).chisquare(freedom, 40000))
    assert robust_scale(4.0 * chi2, freedom) == pytest.approx(2.0, rel=0.03)


def test_errors_that_a_depth_each_has_absorbed_are_no_smaller_than_they_were() -> None:
    """Of two coordinates, the one along the epipolar line is taken in part by the depth."""
    rng = np.random.default_rng(1)
    along, across, absorbed = rng.normal(size=40000), rng.normal(size=40000), 0.9
    chi2 = torch.from_numpy(across**2 + (1.0 - absorbed) * along**2)
    assert 1.0 <= robust_scale(chi2, 2.0 - absorbed) < 1.2
    assert robust_scale(chi2) < 0.6
