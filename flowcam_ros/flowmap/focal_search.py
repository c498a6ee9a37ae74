# SPDX-License-Identifier: Apache-2.0
"""The focal length of unknown pictures, by soft selection among candidates.

FlowMap (section 4.3) weighs candidates by how well the flow of its first two frames fits, given
depth. Before there is depth, epipolar geometry tells the same: only the true focal length makes
the matches of a pair agree with a rigid motion. Several pairs with much parallax vote here, as
one alone is often blind to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.flowmap.essential import TOLERANCE, fit_essential, sampson_squared

# Focal lengths in units of the root of the picture's area: 136 to 19 degrees across a 4:3 picture.
_RANGE = (0.4, 3.0)
_CANDIDATES = 32
# Most lenses have about this focal length, give or take; it decides where pictures do not.
_USUAL, _SPREAD = 0.95, 0.4
_PAIRS, _MATCHES, _MIN_MATCHES = 48, 300, 40
_ITERATIONS = 200
# Matches of a pair err alike (distortion, moving things): so many count as one.
_LIKENESS = 100.0


@dataclass(frozen=True)
class FocalSearch:
    """What pictures say about their focal length; c candidates.

    Attributes:
        candidates: (c,) pixels.
        weights: (c,) how likely each is; they sum to one.
        focal: weighted mean (of the logarithm), pixels.
        log_sigma: standard deviation of the logarithm of the focal length.
        pairs: number of pairs that voted.
    """

    candidates: Float[np.ndarray, ' c']
    weights: Float[np.ndarray, ' c']
    focal: float
    log_sigma: float
    pairs: int


def search_focal(
    pairs: Sequence[PairMatches], height: int, width: int, seed: int = 0
) -> FocalSearch:
    """Return the focal length by which most pairs are rigid, the centre in the middle.

    Args:
        pairs: verified matches; those of pure rotations and planes say nothing and are not asked.
        height: of the pictures, pixels.
        width: of the pictures, pixels.
        seed: of the choice among the matches of a pair.
    """
    root = np.sqrt(height * width)
    candidates = root * np.geomspace(*_RANGE, _CANDIDATES)
    cost = 0.5 * (np.log(candidates / (_USUAL * root)) / _SPREAD) ** 2
    chosen = telling_pairs(pairs)[:_PAIRS]
    random = np.random.default_rng(seed)
    middle = 0.5 * np.array([width - 1.0, height - 1.0])
    for pair in chosen:
        index = random.permutation(len(pair.source))[:_MATCHES]
        source, target = pair.source[index] - middle, pair.target[index] - middle
        cost = cost + _costs(source, target, candidates, TOLERANCE * max(height, width))
    weights = np.exp(-(cost - cost.min()))
    weights /= weights.sum()
    mean = float((weights * np.log(candidates)).sum())
    spread = float((weights * (np.log(candidates) - mean) ** 2).sum())
    step = np.log(candidates[1] / candidates[0])
    return FocalSearch(
        candidates,
        weights,
        float(np.exp(mean)),
        float(np.sqrt(spread + step**2 / 12.0)),
        len(chosen),
    )


def telling_pairs(pairs: Sequence[PairMatches]) -> list[PairMatches]:
    """Return the pairs with parallax, best first: many matches that no homography explains."""
    enough = [p for p in pairs if len(p.source) >= _MIN_MATCHES and p.planar < 1.0]
    return sorted(enough, key=lambda p: -(1.0 - p.planar) * len(p.source) ** 0.5)


def _costs(
    source: Float[np.ndarray, 'n 2'],
    target: Float[np.ndarray, 'n 2'],
    candidates: Float[np.ndarray, ' c'],
    tolerance: float,
) -> Float[np.ndarray, ' c']:
    """Return the negative log likelihood of one pair for each focal length."""
    costs = np.empty(len(candidates))
    sigma = 0.5 * tolerance
    for number, focal in enumerate(candidates):
        fit = fit_essential(source / focal, target / focal, tolerance / focal, _ITERATIONS)
        if fit is None:
            costs[number] = 4.5
            continue
        error = sampson_squared(fit[0], source / focal, target / focal) * (focal / sigma) ** 2
        costs[number] = 0.5 * np.minimum(error, 9.0).mean()
    return costs * len(source) / _LIKENESS
