# SPDX-License-Identifier: Apache-2.0
"""Points followed from picture to picture by Lucas and Kanade, without drift.

Each step finds a point in the next picture, from coarse to fine and back again. Then the patch
from where the track began is registered there, so that the errors of steps do not add up. When the
view has changed too much for that, the last good sight becomes the reference, and its error stays
with the track.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from flowcam_ros.correspondence.config import TrackConfig
from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.correspondence.patches import (
    Patches,
    Registered,
    cut_patches,
    register,
    smoothed,
    upright,
    whole,
)
from flowcam_ros.correspondence.pictures import Pictures, inside_mask
from flowcam_ros.correspondence.points import cell_size, select_points, texture_map
from flowcam_ros.correspondence.tracks import Tracks, no_tracks, sorted_tracks
from flowcam_ros.geometry.photometry import Evened, even_out

_WINDOW = (15, 15)
_LEVELS = 3
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.02)
# A patch that ends this far from where the step led has been caught by something else, pixels.
_MAX_PULL = 2.0
# Correlation below which a patch is another, and below which it is time for a new reference.
_SAME = 0.8
_FRESH = 0.9
# The same for how much the patch shrank or stretched.
_LEAST_SHAPE, _MOST_SHAPE = 0.6, 1.7
# Standard deviation that remains at perfect texture, pixels, ...
_BEST_SIGMA = 0.1
# ... that which a patch brings whose shape has changed by 1, as a plane is but a guess at what it
# shows, pixels, ...
_BENT_SIGMA = 1.0
# ... and how much larger than the noise of grey values alone says the variance of a position is,
# as neighbouring ones err together. Both fitted to the distances from epipolar lines of recordings
# of a drone, a car, and by hand.
_COMMON_NOISE = 2.0
# Above this a track is of no use, pixels.
_MAX_SIGMA = 2.0
# Windows may not reach over the rim of what is usable, pixels.
_MARGIN = 4


@dataclass(frozen=True)
class _Points:
    """Points that are being followed; n of them.

    Attributes:
        number: (n,) of the track.
        pixel: (n, 2) where they were seen last.
        patches: what they looked like in their references.
        shape: (n, 2, 2) of the patches when they were seen last.
        inherited: (n,) variance of where the references lie, pixels^2.
        sigma: (n,) standard deviation of the last sight, pixels.
    """

    number: Int64[np.ndarray, ' n']
    pixel: Float32[np.ndarray, 'n 2']
    patches: Patches
    shape: Float32[np.ndarray, 'n 2 2']
    inherited: Float32[np.ndarray, ' n']
    sigma: Float32[np.ndarray, ' n']

    def taken(self, kept: np.ndarray) -> _Points:
        return _Points(
            self.number[kept],
            self.pixel[kept],
            self.patches.taken(kept),
            self.shape[kept],
            self.inherited[kept],
            self.sigma[kept],
        )

    def joined(self, other: _Points) -> _Points:
        return _Points(
            np.concatenate([self.number, other.number]),
            np.concatenate([self.pixel, other.pixel]),
            self.patches.joined(other.patches),
            np.concatenate([self.shape, other.shape]),
            np.concatenate([self.inherited, other.inherited]),
            np.concatenate([self.sigma, other.sigma]),
        )


@dataclass(frozen=True)
class _Sights:
    """What is reported of one picture."""

    number: Int64[np.ndarray, ' n']
    pixel: Float32[np.ndarray, 'n 2']
    sigma: Float32[np.ndarray, ' n']


@dataclass(frozen=True)
class _Picture:
    """One picture in the forms that the steps need."""

    grey: UInt8[np.ndarray, 'height width']
    even: Evened
    smooth: Float32[np.ndarray, 'height width']
    usable: Bool[np.ndarray, 'height width'] | None


class KltTracks:
    """Pyramidal Lucas-Kanade behind the TrackEstimator protocol; holds two pictures at a time.

    Args:
        config: how many points, and how well the way back must close.
        flow: dense flow whose displacement the steps start from; None: from no motion.
    """

    def __init__(self, config: TrackConfig, flow: FlowEstimator | None = None) -> None:
        self._config = config
        self._flow = flow

    def track(self, pictures: Pictures) -> Tracks:
        """See TrackEstimator."""
        points = _nothing()
        sights: list[_Sights] = []
        before: _Picture | None = None
        count = 0
        for index in range(len(pictures)):
            now = _read(pictures, index)
            if before is not None:
                points = self._followed(points, before, now)
            new = self._seeds(now, points.pixel, count)
            count += len(new.number)
            points = points.joined(new)
            sights.append(_Sights(points.number, points.pixel, points.sigma))
            before = now
        return _collected(sights)

    def _seeds(self, picture: _Picture, taken: Float32[np.ndarray, 'n 2'], first: int) -> _Points:
        """Return new points where there is texture and no point yet."""
        texture = texture_map(picture.grey)
        pixel = select_points(texture, picture.usable, self._config.points, taken)
        count = len(pixel)
        return _Points(
            np.arange(first, first + count),
            pixel,
            cut_patches(picture.smooth, pixel),
            upright(count),
            np.zeros(count, np.float32),
            np.full(count, _BEST_SIGMA, np.float32),
        )

    def _followed(self, points: _Points, before: _Picture, now: _Picture) -> _Points:
        """Return the points that are found again, where they are now."""
        if len(points.number) == 0:
            return points
        there, good = self._stepped(points.pixel, before, now)
        points, there = points.taken(good), there[good]
        found = register(points.patches, now.smooth, there, points.shape)
        variance = points.inherited + _variance(found)
        sigma = np.sqrt(variance + np.float32(_BEST_SIGMA**2))
        good = (found.likeness > _SAME) & (sigma < _MAX_SIGMA) & _on(now, found.pixel)
        good &= np.linalg.norm(found.pixel - there, axis=1) < _MAX_PULL
        points = replace(points, pixel=found.pixel, shape=found.shape, sigma=sigma)
        changed = (found.likeness < _FRESH) | ~whole(found.shape, _LEAST_SHAPE, _MOST_SHAPE)
        fresh = _renewed(points.taken(good & changed), variance[good & changed], now)
        points = points.taken(good & ~changed).joined(fresh)
        points = points.taken(np.argsort(points.number))
        return points.taken(self._uncrowded(points.pixel, now.grey.shape))

    def _stepped(
        self, pixel: Float32[np.ndarray, 'n 2'], before: _Picture, now: _Picture
    ) -> tuple[Float32[np.ndarray, 'n 2'], Bool[np.ndarray, ' n']]:
        """Return where points went, and whether the way back ends where they were."""
        guess = pixel
        if self._flow is not None:
            flow = self._flow.displacement(before.even.broad, now.even.broad)
            at = np.rint(pixel).astype(np.intp)
            guess = pixel + flow[at[:, 1], at[:, 0]]
        there, found = _lucas_kanade(before, now, pixel, guess)
        back, returned = _lucas_kanade(now, before, there, there - guess + pixel)
        gap = np.linalg.norm(back - pixel, axis=1)
        return there, found & returned & (gap < self._config.max_gap) & _on(now, there)

    def _uncrowded(
        self, pixel: Float32[np.ndarray, 'n 2'], shape: tuple[int, ...]
    ) -> Int64[np.ndarray, ' k']:
        """Return the oldest point of each quarter of a cell: what recedes gathers points."""
        cell = cell_size(shape[0], shape[1], self._config.points) / 2
        at = (pixel // cell).astype(np.int64)
        _, first = np.unique(at[:, 1] * shape[1] + at[:, 0], return_index=True)
        return np.sort(first)


def _read(pictures: Pictures, index: int) -> _Picture:
    grey = pictures.grey(index)
    usable = pictures.usable(index)
    if usable is not None:
        side = 2 * _MARGIN + 1
        inner = cv2.erode(usable.astype(np.uint8), np.ones((side, side), np.uint8))
        usable = inner > 0
    return _Picture(grey, even_out(grey), smoothed(grey), usable)


def _on(picture: _Picture, pixel: Float32[np.ndarray, 'n 2']) -> Bool[np.ndarray, ' n']:
    """Return which positions lie on usable pixels."""
    height, width = picture.grey.shape
    if picture.usable is not None:
        return inside_mask(picture.usable, pixel)
    inside: np.ndarray = np.all((pixel >= 0) & (pixel <= (width - 1, height - 1)), axis=1)
    return inside


def _lucas_kanade(
    source: _Picture,
    target: _Picture,
    pixel: Float32[np.ndarray, 'n 2'],
    guess: Float32[np.ndarray, 'n 2'],
) -> tuple[Float32[np.ndarray, 'n 2'], Bool[np.ndarray, ' n']]:
    if len(pixel) == 0:
        return pixel, np.zeros(0, bool)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        source.even.fine,
        target.even.fine,
        pixel[:, None],
        guess[:, None].copy(),
        winSize=_WINDOW,
        maxLevel=_LEVELS,
        criteria=_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    # points that ran out of the picture may come with wild values
    there = np.nan_to_num(there[:, 0], nan=-1e4, posinf=-1e4, neginf=-1e4)
    return there, found[:, 0] == 1


def _variance(found: Registered) -> Float32[np.ndarray, ' n']:
    """Return the variance of positions against their references, pixels^2."""
    bent = np.square(found.shape - upright(len(found.shape))).sum((1, 2))
    variance = np.float32(_COMMON_NOISE) * found.variance + np.float32(_BENT_SIGMA**2) * bent
    return variance.astype(np.float32)


def _renewed(points: _Points, variance: Float32[np.ndarray, ' n'], picture: _Picture) -> _Points:
    """Return points with their present sight as reference, whose error they inherit."""
    return replace(
        points,
        patches=cut_patches(picture.smooth, points.pixel),
        shape=upright(len(points.number)),
        inherited=variance,
    )


def _nothing() -> _Points:
    none = np.zeros(0, np.float32)
    pixel = np.zeros((0, 2), np.float32)
    patches = cut_patches(np.zeros((1, 1), np.float32), pixel)
    return _Points(np.zeros(0, np.int64), pixel, patches, upright(0), none, none)


def _collected(sights: list[_Sights]) -> Tracks:
    if not sights:
        return no_tracks()
    frame = np.repeat(np.arange(len(sights)), [len(s.number) for s in sights])
    return sorted_tracks(
        np.concatenate([s.number for s in sights]),
        frame,
        np.concatenate([s.pixel for s in sights]),
        np.concatenate([s.sigma for s in sights]),
    )
