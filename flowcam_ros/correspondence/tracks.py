# SPDX-License-Identifier: Apache-2.0
"""Points of the world seen in several pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from flowcam_ros.correspondence.features import Features
from flowcam_ros.correspondence.links import Links
from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.correspondence.pictures import Pictures

# Standard deviation of a coordinate of a SIFT feature, pixels: 0.25 to 0.6 against the epipolar
# lines of five recordings.
_FEATURE_SIGMA = 0.4


@dataclass(frozen=True)
class Tracks:
    """Observations, sorted by point, then by frame; M of them.

    Each point is seen in at least two frames, and once in each.

    Attributes:
        point: (M,) which point, 0, 1, 2 ...
        frame: (M,) in which picture.
        pixel: (M, 2) where (x, y).
        sigma: (M,) standard deviation of a coordinate, pixels.
    """

    point: Int64[np.ndarray, ' m']
    frame: Int64[np.ndarray, ' m']
    pixel: Float32[np.ndarray, 'm 2']
    sigma: Float32[np.ndarray, ' m']

    def __len__(self) -> int:
        """Return how many observations there are."""
        return len(self.point)

    @property
    def points(self) -> int:
        """How many points there are."""
        return int(self.point[-1]) + 1 if len(self.point) else 0


@runtime_checkable
class TrackEstimator(Protocol):
    """Follows points through the pictures of a recording."""

    def track(self, pictures: Pictures) -> Tracks:
        """Return the points that were followed, in pixels of the pictures."""
        ...


def no_tracks() -> Tracks:
    """Return tracks without any point."""
    none = np.zeros(0, np.int64)
    return Tracks(none, none, np.zeros((0, 2), np.float32), np.zeros(0, np.float32))


def sorted_tracks(
    point: Int64[np.ndarray, ' m'],
    frame: Int64[np.ndarray, ' m'],
    pixel: Float32[np.ndarray, 'm 2'],
    sigma: Float32[np.ndarray, ' m'],
) -> Tracks:
    """Return observations in any order as tracks; points seen once are left out."""
    order = np.lexsort((frame, point))
    _, number, seen = np.unique(point[order], return_inverse=True, return_counts=True)
    kept = seen[number] > 1
    order = order[kept]
    number = np.unique(number[kept], return_inverse=True)[1].astype(np.int64)
    return Tracks(number, frame[order], pixel[order], sigma[order])


def joined(*tracks: Tracks) -> Tracks:
    """Return all tracks together; the points are numbered anew, in the order given."""
    first = np.cumsum([0, *(t.points for t in tracks)])
    parts = [t.point + first[i] for i, t in enumerate(tracks)]
    none = no_tracks()
    return Tracks(
        np.concatenate([none.point, *parts]),
        np.concatenate([none.frame, *(t.frame for t in tracks)]),
        np.concatenate([none.pixel, *(t.pixel for t in tracks)]),
        np.concatenate([none.sigma, *(t.sigma for t in tracks)]),
    )


def tracks_of_matches(features: Sequence[Features], pairs: Sequence[PairMatches]) -> Tracks:
    """Return the points that matches add up to.

    Pairs are taken in the order of their number of matches. A match whose two tracks have a
    picture in common, where they are at different features, is left out.

    Args:
        features: of each picture.
        pairs: verified matches between them.
    """
    links = Links([len(f) for f in features])
    for pair in sorted(pairs, key=lambda p: -len(p.index)):
        links.add(pair.first, pair.second, pair.index)
    pixel = np.concatenate([no_tracks().pixel, *(f.pixels for f in features)])
    sigma = np.full(len(pixel), _FEATURE_SIGMA, np.float32)
    return sorted_tracks(links.groups(), links.frame, pixel, sigma)
