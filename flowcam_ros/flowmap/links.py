# SPDX-License-Identifier: Apache-2.0
"""Correspondences as the losses take them: a sample of positions in two frames each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.correspondence.tracks import Tracks


@dataclass(frozen=True)
class Links:
    """Positions of the same point in two frames.

    Attributes:
        first: frame.
        second: the other frame.
        source: pixel in the first.
        target: pixel in the second.
        confidence: 0 to 1.
    """

    first: Int64[Tensor, '*n']
    second: Int64[Tensor, '*n']
    source: Float[Tensor, '*n 2']
    target: Float[Tensor, '*n 2']
    confidence: Float[Tensor, '*n']

    def both_ways(self) -> Links:
        """Return each link and the same seen from its other end."""
        return Links(
            torch.cat([self.first, self.second]),
            torch.cat([self.second, self.first]),
            torch.cat([self.source, self.target]),
            torch.cat([self.target, self.source]),
            torch.cat([self.confidence, self.confidence]),
        )


@runtime_checkable
class LinkSource(Protocol):
    """Something links can be drawn from."""

    def draw(self, count: int, random: np.random.Generator) -> Links:
        """Return ``count`` links, or all if there are fewer."""
        ...


class TrackLinks:
    """Pairs of observations of one point, any two of a track alike likely.

    Args:
        tracks: observations.
        device: where the links shall be.
    """

    def __init__(self, tracks: Tracks, device: torch.device) -> None:
        self._tracks = tracks
        self._device = device
        self._begin = np.searchsorted(tracks.point, np.arange(tracks.points))
        self._length = np.bincount(tracks.point, minlength=tracks.points)

    def draw(self, count: int, random: np.random.Generator) -> Links:
        """See LinkSource; long tracks give as many links as they have observations."""
        t = self._tracks
        one = random.integers(0, len(t), count) if len(t) else np.zeros(0, np.int64)
        length = self._length[t.point[one]]
        step = 1 + (random.random(len(one)) * (length - 1)).astype(np.int64)
        begin = self._begin[t.point[one]]
        other = begin + (one - begin + step) % length
        return make_links(
            t.frame[one], t.frame[other], t.pixel[one], t.pixel[other], None, self._device
        )


class MatchLinks:
    """Matches of pairs of pictures, each pair alike likely.

    Args:
        pairs: verified matches.
        device: where the links shall be.
    """

    def __init__(self, pairs: Sequence[PairMatches], device: torch.device) -> None:
        self._device = device
        self._first = np.array([p.first for p in pairs], np.int64)
        self._second = np.array([p.second for p in pairs], np.int64)
        self._count = np.array([len(p.source) for p in pairs], np.int64)
        self._begin = np.concatenate([[0], np.cumsum(self._count)[:-1]]).astype(np.int64)
        none = np.zeros((0, 2), np.float32)
        self._source = np.concatenate([none, *(p.source for p in pairs)])
        self._target = np.concatenate([none, *(p.target for p in pairs)])

    def draw(self, count: int, random: np.random.Generator) -> Links:
        """See LinkSource."""
        pairs = len(self._first)
        pair = random.integers(0, pairs, count) if pairs else np.zeros(0, np.int64)
        match = self._begin[pair] + (random.random(len(pair)) * self._count[pair]).astype(np.int64)
        return make_links(
            self._first[pair],
            self._second[pair],
            self._source[match],
            self._target[match],
            None,
            self._device,
        )


def make_links(
    first: Int64[np.ndarray, '*n'],
    second: Int64[np.ndarray, '*n'],
    source: Float[np.ndarray, '*n 2'],
    target: Float[np.ndarray, '*n 2'],
    confidence: Float[np.ndarray, '*n'] | None,
    device: torch.device,
) -> Links:
    """Return links of arrays; without a confidence all are fully believed."""
    if confidence is None:
        confidence = np.ones(np.shape(first), np.float32)
    return Links(
        torch.from_numpy(np.ascontiguousarray(first)).long().to(device),
        torch.from_numpy(np.ascontiguousarray(second)).long().to(device),
        torch.from_numpy(np.ascontiguousarray(source)).float().to(device),
        torch.from_numpy(np.ascontiguousarray(target)).float().to(device),
        torch.from_numpy(np.ascontiguousarray(confidence)).float().to(device),
    )
