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


class PairLinks:
    """Positions in pairs of pictures, each pair alike likely.

    Args:
        first: (p,) one picture of each pair.
        second: (p,) the other.
        source: (n, 2) pixels in the first pictures, those of one pair after those of another.
        target: (n, 2) pixels in the second pictures.
        count: (p,) positions of each pair, at least one.
        device: where the links shall be.
        confidence: (n,) 0 to 1; None believes all fully.
    """

    def __init__(
        self,
        first: Int64[np.ndarray, ' p'],
        second: Int64[np.ndarray, ' p'],
        source: Float[np.ndarray, 'n 2'],
        target: Float[np.ndarray, 'n 2'],
        count: Int64[np.ndarray, ' p'],
        device: torch.device,
        confidence: Float[np.ndarray, ' n'] | None = None,
    ) -> None:
        self._first, self._second = first, second
        self._source, self._target, self._confidence = source, target, confidence
        self._count = count
        self._begin = np.cumsum(count) - count
        self._device = device

    def __len__(self) -> int:
        return len(self._first)

    def draw(self, count: int, random: np.random.Generator) -> Links:
        """See LinkSource."""
        pairs = len(self._first)
        pair = random.integers(0, pairs, count) if pairs else np.zeros(0, np.int64)
        at = self._begin[pair] + (random.random(len(pair)) * self._count[pair]).astype(np.int64)
        return make_links(
            self._first[pair],
            self._second[pair],
            self._source[at],
            self._target[at],
            None if self._confidence is None else self._confidence[at],
            self._device,
        )


class MatchLinks(PairLinks):
    """Matches of pairs of pictures, each pair alike likely.

    Args:
        pairs: verified matches.
        device: where the links shall be.
    """

    def __init__(self, pairs: Sequence[PairMatches], device: torch.device) -> None:
        none = np.zeros((0, 2), np.float32)
        super().__init__(
            np.array([p.first for p in pairs], np.int64),
            np.array([p.second for p in pairs], np.int64),
            np.concatenate([none, *(p.source for p in pairs)]),
            np.concatenate([none, *(p.target for p in pairs)]),
            np.array([len(p.source) for p in pairs], np.int64),
            device,
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
