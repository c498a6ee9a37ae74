# SPDX-License-Identifier: Apache-2.0
"""Depth of matches from pairs of pictures alone: what the network is first fitted to.

From flat depth, gradient descent turns reliefs inside out as readily as not (FlowMap's
hollow-face minimum). Two views with perspective are not ambiguous, so they say where to start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.flowmap.essential import (
    TOLERANCE,
    angles,
    decompose,
    fit_essential,
    sampson_squared,
    triangulated,
)
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.lens_search import telling_pairs
from flowcam_ros.geometry.se3 import Matrix4

_ITERATIONS = 1000
MIN_ANGLE = float(np.deg2rad(1.0))
_MIN_POINTS = 20
# A motion that was estimated by others, not from these matches, is less exact by this factor.
_MOTION_SLACK = 3.0
# With a smaller share of matches that fit, it is another motion.
_MIN_FITTING = 0.5
# Noise of a match in parts of the tolerance.
_NOISE = 0.33


@dataclass(frozen=True)
class TwoViews:
    """A pair whose depth is known, up to one factor or in a unit; n matches with parallax.

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

    def shifted(self, by: float) -> TwoViews:
        """Return the same in another unit: ``by`` is added to the logarithms."""
        return dataclasses.replace(self, log_inverse=self.log_inverse + by)


def reconstruct_pairs(
    pairs: Sequence[PairMatches],
    lens: Lens,
    longer_side: int,
    per_picture: int,
    min_angle: float = MIN_ANGLE,
) -> list[TwoViews]:
    """Return the depth of the most telling pairs.

    Args:
        pairs: verified matches.
        lens: of all pictures.
        longer_side: of the pictures, pixels.
        per_picture: how many pairs each picture should have.
        min_angle: between the rays of a match, radians, below which it has no depth.
    """
    return views_of_pairs(
        pairs, per_picture, lambda pair: reconstruct(pair, lens, longer_side, min_angle)
    )


def views_of_pairs(
    pairs: Sequence[PairMatches],
    per_picture: int,
    reconstructed: Callable[[PairMatches], TwoViews | None],
) -> list[TwoViews]:
    """Return what is made of the most telling pairs.

    Args:
        pairs: verified matches.
        per_picture: how many pairs each picture should have.
        reconstructed: returns the depth of a pair; None where it has none.
    """
    counts: dict[int, int] = {}
    views = []
    for pair in telling_pairs(pairs):
        ends = (pair.first, pair.second)
        if min(counts.get(end, 0) for end in ends) >= per_picture:
            continue
        found = reconstructed(pair)
        if found is not None:
            views.append(found)
            for end in ends:
                counts[end] = counts.get(end, 0) + 1
    return views


def reconstruct(
    pair: PairMatches, lens: Lens, longer_side: int, min_angle: float = MIN_ANGLE
) -> TwoViews | None:
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
    return _views(pair, kept, near, far, angle, tolerance, min_angle)


def reconstruct_between(
    pair: PairMatches, lens: Lens, longer_side: int, second_from_first: Matrix4
) -> TwoViews | None:
    """Return the depth of one pair whose motion is known, in its unit; None without parallax."""
    source, target = _plane(lens, pair.source), _plane(lens, pair.target)
    tolerance = TOLERANCE * longer_side / lens.focal
    rotation, shift = second_from_first[:3, :3], second_from_first[:3, 3]
    essential = np.cross(shift, rotation, axisb=0, axisc=0)
    off = sampson_squared(essential, source, target)
    kept = np.flatnonzero(off < (_MOTION_SLACK * tolerance) ** 2)
    if len(kept) < max(_MIN_POINTS, _MIN_FITTING * len(off)):
        return None
    source, target = source[kept], target[kept]
    near, far = triangulated(rotation, shift, source, target)
    angle = angles(rotation, source, target)
    return _views(pair, kept, near, far, angle, _MOTION_SLACK * tolerance, MIN_ANGLE)


def _views(
    pair: PairMatches,
    kept: np.ndarray,
    near: Float[np.ndarray, ' n'],
    far: Float[np.ndarray, ' n'],
    angle: Float[np.ndarray, ' n'],
    tolerance: float,
    min_angle: float,
) -> TwoViews | None:
    """Return the depth of those matches of a pair that have parallax."""
    good = (near > 0) & (far > 0) & (angle > min_angle)
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
