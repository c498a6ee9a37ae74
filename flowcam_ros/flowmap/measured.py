# SPDX-License-Identifier: Apache-2.0
"""Measured depth at the observations of tracks, as the bundle adjustment takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.scale import SURE_DEPTH, DepthSamples, depth_samples

# Farther from what its frame says on the whole, in standard deviations, it is of something else.
_MAX_CHI2 = 9.0
# Of a squared error in units of its variance.
_MEDIAN_CHI2 = 0.455
_MIN_SAMPLES = 10


@dataclass(frozen=True)
class MeasuredDepths:
    """Inverse depth at each observation.

    Attributes:
        inverse_depth: (m,) 1/m; 0 where nothing is known.
        information: (m,) inverse variance; 0 there.
        excess: factor by which squared errors exceed the variances the depth came with; at
            least 1. Once points were adjusted to the depth it is a lower bound.
    """

    inverse_depth: Float[np.ndarray, ' m']
    information: Float[np.ndarray, ' m']
    excess: float

    def as_promised(self) -> MeasuredDepths:
        """Return the same with the variances the depth came with."""
        return MeasuredDepths(self.inverse_depth, self.information * self.excess, 1.0)


def depths_at_points(
    store: FrameStore, polished: Polished
) -> Iterator[tuple[Int64[np.ndarray, ' k'], DepthSamples, Float[np.ndarray, ' k']]]:
    """Yield, for each frame with measured depth, its observations, what was measured, and z."""
    tracks, poses = polished.tracks, polished.poses.numpy()
    for frame in range(len(store)):
        seen = np.flatnonzero(tracks.frame == frame)
        away = polished.points[tracks.point[seen]] - poses[frame, :3, 3]
        z = away @ poses[frame, :3, 2]
        samples = depth_samples(store, frame, tracks.pixel[seen], z)
        if samples is not None:
            yield seen, samples, z


def measured_depths(store: FrameStore, polished: Polished) -> MeasuredDepths:
    """Return what was measured at the observations of a result in metres.

    Depth that contradicts the others of its frame (a step beside the point, a wrong match, glass)
    is left out. Variances are multiplied by how much more the depths differ from the points than
    they promise.
    """
    tracks = polished.tracks
    inverse, variance = np.zeros(len(tracks)), np.full(len(tracks), np.inf)
    off = np.zeros(len(tracks))
    for seen, samples, z in depths_at_points(store, polished):
        told = samples.inverse_depth.astype(np.float64)
        good = (told > 0) & (samples.variance < np.square(SURE_DEPTH * told)) & (z > 0)
        if np.count_nonzero(good) < _MIN_SAMPLES:
            continue
        at, told, expected = seen[good], told[good], 1.0 / z[good]
        ratio = np.median(told / expected)
        inverse[at], variance[at] = told, samples.variance[good]
        off[at] = np.square(told - ratio * expected) / variance[at]
    known = np.isfinite(variance)
    if not known.any():
        return MeasuredDepths(inverse, np.zeros(len(tracks)), 1.0)
    excess = max(1.0, float(np.median(off[known])) / _MEDIAN_CHI2)
    known &= off < _MAX_CHI2 * excess
    information = np.where(known, 1.0 / (variance * excess), 0.0)
    return MeasuredDepths(np.where(known, inverse, 0.0), information, excess)
