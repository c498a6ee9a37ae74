# SPDX-License-Identifier: Apache-2.0
"""The lens of unknown pictures: distortion and focal length, by soft selection among candidates.

FlowMap (section 4.3) weighs focal lengths by how well the flow of its first two frames fits, given
depth. Before there is depth, epipolar geometry tells the same: only the true focal length makes
the matches of a pair agree with a rigid motion. Several pairs with much parallax vote here, as
one alone is often blind to it. Distortion comes first, as it bends epipolar lines whatever the
focal length is; the division model (Fitzgibbon 2001) can be undone for any strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.flowmap.essential import TOLERANCE, fit_essential, sampson_squared

# Distortion: by how much of its way a corner of the picture is drawn to the centre (negative).
_BENDS = np.linspace(-0.4, 0.12, 14)
_USUAL_BEND = 0.15
# Focal lengths in units of the root of the picture's area: 136 to 19 degrees across a 4:3 picture.
_RANGE = (0.4, 3.0)
_CANDIDATES = 32
# Most lenses have about this focal length, give or take; it decides where pictures do not.
_USUAL, _SPREAD = 0.95, 0.4
_PAIRS, _MATCHES, _MIN_MATCHES = 48, 300, 40
_ITERATIONS, _CONFIDENCE = 200, 0.999
# Matches beyond this squared error, in variances, are wrong and count alike.
_MOST_CHI2 = 9.0
# Matches of a pair err alike (distortion, moving things): so many count as one.
_LIKENESS = 100.0


@dataclass(frozen=True)
class LensSearch:
    """What pictures say about their lens; c candidates of the focal length.

    Attributes:
        bend: parameter of the division model, of the picture's half diagonal.
        candidates: (c,) pixels.
        weights: (c,) how likely each is; they sum to one.
        focal: weighted mean (of the logarithm), pixels.
        log_sigma: standard deviation of the logarithm of the focal length.
        pairs: number of pairs that voted.
    """

    bend: float
    candidates: Float[np.ndarray, ' c']
    weights: Float[np.ndarray, ' c']
    focal: float
    log_sigma: float
    pairs: int


def search_lens(
    pairs: Sequence[PairMatches], height: int, width: int, seed: int = 0
) -> LensSearch:
    """Return the lens by which most pairs are rigid, its centre in the middle.

    Args:
        pairs: verified matches; those of pure rotations and planes say nothing and are not asked.
        height: of the pictures, pixels.
        width: of the pictures, pixels.
        seed: of the choice among the matches of a pair.
    """
    root, reach = np.sqrt(height * width), 0.5 * np.hypot(height, width)
    tolerance = TOLERANCE * max(height, width)
    chosen = _samples(telling_pairs(pairs)[:_PAIRS], height, width, seed)
    cost = 0.5 * (_BENDS / _USUAL_BEND) ** 2
    for source, target in chosen:
        cost = cost + [
            _fundamental_cost(
                straightened(source, b, reach), straightened(target, b, reach), tolerance
            )
            for b in _BENDS
        ]
    bend = float((_softmin(cost) * _BENDS).sum())
    candidates = root * np.geomspace(*_RANGE, _CANDIDATES)
    cost = 0.5 * (np.log(candidates / (_USUAL * root)) / _SPREAD) ** 2
    for source, target in chosen:
        straight = straightened(source, bend, reach), straightened(target, bend, reach)
        cost = cost + _essential_costs(*straight, candidates, tolerance)
    weights = _softmin(cost)
    mean = float((weights * np.log(candidates)).sum())
    spread = float((weights * (np.log(candidates) - mean) ** 2).sum())
    step = np.log(candidates[1] / candidates[0])
    sigma = float(np.sqrt(spread + step**2 / 12.0))
    return LensSearch(bend, candidates, weights, float(np.exp(mean)), sigma, len(chosen))


def straightened(
    pixels: Float[np.ndarray, 'n 2'], bend: float, reach: float
) -> Float[np.ndarray, 'n 2']:
    """Return where pixels, counted from the centre, would be without distortion.

    Args:
        pixels: (n, 2) from the centre.
        bend: parameter of the division model.
        reach: half diagonal of the picture, pixels.
    """
    return pixels / (1.0 + bend * (pixels**2).sum(-1, keepdims=True) / reach**2)


def radial_terms(bend: float, reach: float, focal: float) -> tuple[float, float]:
    """Return k1 and k2 of the lens that bends pictures about as the division model does.

    Args:
        bend: parameter of the division model.
        reach: half diagonal of the picture, pixels.
        focal: focal length, pixels.
    """
    bent = np.linspace(0.02, 1.0, 50) * reach
    straight = straightened(np.stack([bent, np.zeros(50)], -1), bend, reach)[:, 0]
    r = straight / focal
    # r (1 + k1 r^2 + k2 r^4) = bent / focal, in pixels
    system = np.stack([r**3, r**5], -1) * focal
    k1, k2 = np.linalg.lstsq(system, bent - straight, rcond=None)[0]
    return float(k1), float(k2)


def telling_pairs(pairs: Sequence[PairMatches]) -> list[PairMatches]:
    """Return the pairs with parallax, best first: many matches that no homography explains."""
    enough = [p for p in pairs if len(p.source) >= _MIN_MATCHES and p.planar < 1.0]
    return sorted(enough, key=lambda p: -(1.0 - p.planar) * len(p.source) ** 0.5)


def _samples(
    pairs: Sequence[PairMatches], height: int, width: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return some matches of each pair, counted from the middle of the picture."""
    random = np.random.default_rng(seed)
    middle = 0.5 * np.array([width - 1.0, height - 1.0])
    samples = []
    for pair in pairs:
        index = random.permutation(len(pair.source))[:_MATCHES]
        samples.append((pair.source[index] - middle, pair.target[index] - middle))
    return samples


def _softmin(cost: Float[np.ndarray, ' c']) -> Float[np.ndarray, ' c']:
    weights = np.exp(-(cost - cost.min()))
    return weights / weights.sum()


def _fundamental_cost(
    source: Float[np.ndarray, 'n 2'], target: Float[np.ndarray, 'n 2'], tolerance: float
) -> float:
    """Return the negative log likelihood of one pair under any rigid motion and focal length."""
    try:
        fundamental, _ = cv2.findFundamentalMat(
            source, target, cv2.USAC_MAGSAC, tolerance, _CONFIDENCE, _ITERATIONS
        )
    except cv2.error:  # no model at all in some degenerate sets
        fundamental = None
    if fundamental is None or fundamental.shape != (3, 3):
        return 0.5 * _MOST_CHI2 * len(source) / _LIKENESS
    return _cost(sampson_squared(fundamental, source, target), 0.5 * tolerance)


def _essential_costs(
    source: Float[np.ndarray, 'n 2'],
    target: Float[np.ndarray, 'n 2'],
    candidates: Float[np.ndarray, ' c'],
    tolerance: float,
) -> Float[np.ndarray, ' c']:
    """Return the negative log likelihood of one pair for each focal length."""
    costs = np.full(len(candidates), 0.5 * _MOST_CHI2 * len(source) / _LIKENESS)
    for number, focal in enumerate(candidates):
        fit = fit_essential(source / focal, target / focal, tolerance / focal, _ITERATIONS)
        if fit is not None:
            error = sampson_squared(fit[0], source / focal, target / focal) * focal**2
            costs[number] = _cost(error, 0.5 * tolerance)
    return costs


def _cost(squared: Float[np.ndarray, ' n'], sigma: float) -> float:
    return 0.5 * float(np.minimum(squared / sigma**2, _MOST_CHI2).sum()) / _LIKENESS
