# SPDX-License-Identifier: Apache-2.0
"""Depth of matches from pairs of pictures alone: what the network is first fitted to.

From flat depth, gradient descent turns reliefs inside out as readily as not (FlowMap's
hollow-face minimum). Two views with perspective are not ambiguous, so they say where to start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.flowmap.essential import TOLERANCE, angles, decompose, fit_essential
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.lens_search import telling_pairs

_ITERATIONS = 1000
_MIN_ANGLE = np.deg2rad(1.0)
_MIN_POINTS = 20
# Noise of a match in parts of the tolerance.
_NOISE = 0.33


@dataclass(frozen=True)
class TwoViews:
    """A pair whose depth is known up to one factor; n matches with parallax.

    Attributes:
        first: number of the first picture.
        second: number of the second picture.
        source: (n, 2) pixels in the first.
        target: (n, 2) pixels in the second.
        log_inverse: (n, 2) logarithm of the inverse depth in the first and in the second.
        log_sigma: (n,) its standard deviation.
    """

    first: int
    second: int
    source: Float32[np.ndarray, 'n 2']
    target: Float32[np.ndarray, 'n 2']
    log_inverse: Float[np.ndarray, 'n 2']
    log_sigma: Float[np.ndarray, ' n']


def reconstruct_pairs(
    pairs: Sequence[PairMatches], lens: Lens, longer_side: int, per_picture: int
) -> list[TwoViews]:
    """Return the depth of the most telling pairs.

    Args:
        pairs: verified matches.
        lens: of all pictures.
        longer_side: of the pictures, pixels.
        per_picture: how many pairs each picture should have.
    """
    counts: dict[int, int] = {}
    views = []
    for pair in telling_pairs(pairs):
        ends = (pair.first, pair.second)
        if min(counts.get(end, 0) for end in ends) >= per_picture:
            continue
        found = reconstruct(pair, lens, longer_side)
        if found is not None:
            views.append(found)
            for end in ends:
                counts[end] = counts.get(end, 0) + 1
    return views


def reconstruct(pair: PairMatches, lens: Lens, longer_side: int) -> TwoViews | None:
    """Return the depth of one pair; None where there is too little parallax."""
    source, target = _plane(lens, pair.source), _plane(lens, pair.target)
    tolerance = TOLERANCE * longer_side / lens.focal
    fit = fit_essential(source, target, tolerance, _ITERATIONS)
    if fit is None or fit[1].sum() < _MIN_POINTS:
        return None
    kept = np.flatnonzero(fit[1])
    source, target = source[kept], target[kept]
    rotation, _, near, far = decompose(fit[0], source, target)
    angle = angles(rotation, source, target)
    good = (near > 0) & (far > 0) & (angle > _MIN_ANGLE)
    if good.sum() < _MIN_POINTS:
        return None
    kept = kept[good]
    return TwoViews(
        pair.first,
        pair.second,
        pair.source[kept],
        pair.target[kept],
        -np.log(np.stack([near[good], far[good]], -1)),
        _NOISE * tolerance / angle[good],
    )


def _plane(lens: Lens, pixels: Float32[np.ndarray, 'n 2']) -> Float[np.ndarray, 'n 2']:
    """Return pixels as points of the plane z = 1."""
    return lens.rays(torch.from_numpy(pixels.astype(np.float64)))[:, :2].numpy()
