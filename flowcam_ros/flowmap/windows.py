# SPDX-License-Identifier: Apache-2.0
"""The chosen frames in overlapping windows, and what belongs to each."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Int64

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.correspondences import Correspondences

# Two windows need this many frames in common to be joined well.
_MIN_OVERLAP = 3
# With fewer observations the pose of a frame depends on each of them.
_FEW = 200


def windows_of(frames: int, most: int, overlap: float) -> list[range]:
    """Return windows of equal length, each sharing frames with the next.

    Args:
        frames: how many there are.
        most: in a window.
        overlap: share of a window that the next one has, too.
    """
    if frames <= most:
        return [range(frames)]
    shared = min(max(_MIN_OVERLAP, math.ceil(overlap * most)), most - 1)
    count = math.ceil((frames - shared) / (most - shared))
    # as few as there must be, and then all of one length
    length = math.ceil((frames + (count - 1) * shared) / count)
    starts = [round(k * (frames - length) / (count - 1)) for k in range(count)]
    return [range(start, start + length) for start in starts]


def tracks_of(
    tracks: Tracks, use: Bool[np.ndarray, ' m']
) -> tuple[Tracks, Int64[np.ndarray, ' p']]:
    """Return some of the observations, as far as at least two of them are of the same point.

    Returns:
        The tracks, their points numbered anew, and the old number of each.
    """
    kept = np.flatnonzero(use)
    seen = np.bincount(tracks.point[kept], minlength=tracks.points)
    kept = kept[seen[tracks.point[kept]] > 1]
    number, point = np.unique(tracks.point[kept], return_inverse=True)
    part = Tracks(
        point.astype(np.int64), tracks.frame[kept], tracks.pixel[kept], tracks.sigma[kept]
    )
    return part, number.astype(np.int64)


def thinned(tracks: Tracks, one_of: int) -> Tracks:
    """Return one of so many points, with all that sees it; all for 1.

    Frames that would be left with too few observations keep more of their points.
    """
    if one_of == 1:
        return tracks
    # every point has its turn; frames take those whose turn is next until they have enough
    turn = np.arange(tracks.points) % one_of
    order = np.lexsort((turn[tracks.point], tracks.frame))
    frame = tracks.frame[order]
    rank = np.arange(len(frame)) - np.searchsorted(frame, frame)
    chosen = turn == 0
    chosen[tracks.point[order[rank < _FEW]]] = True
    return tracks_of(tracks, chosen[tracks.point])[0]


def one_of(observations: int, most: int) -> int:
    """Return of how many points one is to be kept for ``most`` observations to be left."""
    return max(1, math.ceil(observations / most))


def correspondences_in(
    found: Correspondences, frames: range
) -> tuple[Correspondences, Int64[np.ndarray, ' p']]:
    """Return what corresponds within a window, its frames counted from 0.

    Returns:
        The correspondences, and of each point followed, then of each matched, its number among
        all that are followed, then matched.
    """
    pairs = [
        dataclasses.replace(p, first=p.first - frames.start, second=p.second - frames.start)
        for p in found.pairs
        if p.first in frames and p.second in frames
    ]
    followed, one = _tracks_in(found.followed, frames)
    matched, other = _tracks_in(found.matched, frames)
    number = np.concatenate([one, other + found.followed.points])
    return Correspondences(pairs, matched, followed), number


def _tracks_in(tracks: Tracks, frames: range) -> tuple[Tracks, Int64[np.ndarray, ' p']]:
    use = np.zeros(max(frames.stop, _frames(tracks)), bool)
    use[frames.start : frames.stop] = True
    part, number = tracks_of(tracks, use[tracks.frame])
    return dataclasses.replace(part, frame=part.frame - frames.start), number


def _frames(tracks: Tracks) -> int:
    return int(tracks.frame.max(initial=-1)) + 1
