# SPDX-License-Identifier: Apache-2.0
"""Several estimates of the inverse depth of the same pixels become one, with its variance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Flows from one picture have its texture and its smoothness in common: correlation of the errors
# of any two, 0.3 to 0.8 where the depth is known.
_ALIKE = 0.7
# Estimates that differ by more standard deviations contradict each other.
_MAX_GAP = 3.0
# The variances of estimates are believed as if so many others had confirmed them.
_BELIEF = 2.0
_NOTHING = 1e-20

Values = Float[Tensor, ' n']


def with_flows(
    prior: Values,
    information: Values,
    told: Float[Tensor, 'k n'],
    certainty: Float[Tensor, 'k n'],
) -> tuple[Values, Values]:
    """Return the mean and the variance of a prior and k estimates by flow from one picture.

    What contradicts the others is not believed, the better it claims to be. As the estimates err
    alike, many of them are not much surer than one. Where they scatter more than they promise, or
    differ from the prior, the variance grows.

    Args:
        prior: inverse depth.
        information: inverse variance of it.
        told: estimates.
        certainty: inverse variance of each; 0 where it says nothing.
    """
    if not len(told):
        return prior, 1.0 / information
    certainty = certainty.clamp_min(_NOTHING)
    believed = _believed(prior, information, told, certainty)
    total = believed.sum(0)
    count = total.square() / believed.square().sum(0).clamp_min(_NOTHING**2)
    mean = (believed * told).sum(0) / total
    flow = total / (1.0 + (count - 1.0) * _ALIKE)
    fused = (information * prior + flow * mean) / (information + flow)
    scatter = (certainty * (told - mean).square() / (1.0 - _ALIKE)).clamp_max(_MAX_GAP**2).sum(0)
    gap = _gap(prior, 1.0 / information, mean, 1.0 / flow).clamp_max(_MAX_GAP**2)
    excess = (_BELIEF + scatter + gap) / (_BELIEF + count)
    return fused, excess.clamp_min(1.0) / (information + flow)


def with_measurement(
    mean: Values, variance: Values, told: Values, certainty: Values
) -> tuple[Values, Values]:
    """Return the mean and the variance after a measurement, which is believed if it contradicts.

    Args:
        mean: inverse depth so far.
        variance: of it.
        told: measured.
        certainty: inverse variance of that; 0 where nothing was measured.
    """
    known = certainty > 0
    certainty = certainty.clamp_min(_NOTHING)
    gap = _gap(mean, variance, told, 1.0 / certainty)
    information = 1.0 / (variance * (1.0 + (gap / _MAX_GAP**2).square()))
    total = information + certainty
    excess = (_BELIEF + gap.clamp_max(_MAX_GAP**2)) / (_BELIEF + 1.0)
    return (
        torch.where(known, (information * mean + certainty * told) / total, mean),
        torch.where(known, excess.clamp_min(1.0) / total, variance),
    )


def _believed(
    prior: Values,
    information: Values,
    told: Float[Tensor, 'k n'],
    certainty: Float[Tensor, 'k n'],
) -> Float[Tensor, 'k n']:
    """Return the certainties less what contradicts the mean of those before."""
    total, weighted, kept = information, information * prior, []
    for estimate, own in zip(told, certainty, strict=True):
        gap = _gap(estimate, 1.0 / own, weighted / total, 1.0 / total)
        own = own / (1.0 + (gap / _MAX_GAP**2).square())
        total, weighted = total + own, weighted + own * estimate
        kept.append(own)
    return torch.stack(kept)


def _gap(one: Values, variance: Values, other: Values, other_variance: Values) -> Values:
    return (one - other).square() / (variance + other_variance)
