# SPDX-License-Identifier: Apache-2.0
"""Pairs of pictures that see the same place, and what corresponds in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from flowcam_ros.correspondence.config import PairConfig
from flowcam_ros.correspondence.features import Features
from flowcam_ros.correspondence.links import Links
from flowcam_ros.correspondence.matching import match, unit_vectors
from flowcam_ros.correspondence.retrieval import likeness, most_alike, picture_descriptors

# How far from its epipolar line a match may lie, of the longer side of the picture.
_TOLERANCE = 0.002
_CONFIDENCE = 0.999
_MAX_ITERATIONS = 5000
# Fewer matches than this must be most of those that were proposed: among many wrong ones some lie
# on common lines by chance.
_FEW = 30
# Share of a pair's matches that may contradict stronger pairs, for pairs with few matches and with
# many. Of 1057 pairs of a set of pictures with wallpaper, 2 of 193 false ones, none with many
# matches, have less, and 201 of 864 true ones more.
_MAX_CONTRADICTED = (0.1, 0.2)
_MANY = 100


@dataclass(frozen=True)
class PairMatches:
    """Verified matches between two pictures; N of them.

    Attributes:
        first: number of the picture that comes first.
        second: number of the other.
        index: (N, 2) into the features of the first and of the second.
        source: (N, 2) pixels in the first.
        target: (N, 2) pixels in the second.
        planar: share of the matches that one homography explains, 0 to 1: near 1 where the camera
            only turned, or saw a plane.
    """

    first: int
    second: int
    index: Int32[np.ndarray, 'n 2']
    source: Float32[np.ndarray, 'n 2']
    target: Float32[np.ndarray, 'n 2']
    planar: float


def find_pairs(
    features: Sequence[Features],
    size: tuple[int, int],
    config: PairConfig,
    on_pair: Callable[[int], None] | None = None,
) -> list[PairMatches]:
    """Return the verified pairs, in the order of their pictures.

    Neighbours in time and pictures that look alike are matched; then, as long as the pictures fall
    into groups without a pair between them, the pictures of different groups that look most alike.

    Args:
        features: of each picture, in the order of time.
        size: height and width of the pictures.
        config: which pairs are tried, and when they count.
        on_pair: called before each pair with its number, from 1; may raise to cancel.
    """
    matcher = PairMatcher(features, size, config)
    alike = likeness(picture_descriptors(features), config.neighbours + 1)
    wanted = {*pairs_in_time(len(features), config), *most_alike(alike, config.loop_candidates)}
    counts = [len(f) for f in features]
    found: list[PairMatches] = []
    tried: set[tuple[int, int]] = set()
    while wanted:
        told = _told(sorted(wanted), len(tried), on_pair)
        found = consistent_pairs(counts, found + matcher.verified(told))
        tried |= wanted
        wanted = _bridges(alike, found, config.loop_candidates) - tried
    return sorted(found, key=lambda p: (p.first, p.second))


def _told(
    pairs: Iterable[tuple[int, int]], before: int, on_pair: Callable[[int], None] | None
) -> Iterator[tuple[int, int]]:
    for number, pair in enumerate(pairs, before + 1):
        if on_pair is not None:
            on_pair(number)
        yield pair


def consistent_pairs(counts: Sequence[int], pairs: Sequence[PairMatches]) -> list[PairMatches]:
    """Return the pairs that do not contradict stronger ones.

    A repeated pattern, such as a wallpaper, matches itself shifted, and a geometry explains that.
    But its features were matched rightly in more similar pictures, and the wrong match would make
    one point of two features of a picture. True pairs have some of these, false ones many.

    Args:
        counts: how many features each picture has.
        pairs: verified by themselves; taken in the order of their number of matches.
    """
    links = Links(counts)
    kept = []
    for pair in sorted(pairs, key=lambda p: -len(p.index)):
        wrong = links.contradicted(pair.first, pair.second, pair.index)
        if wrong.mean() <= _MAX_CONTRADICTED[len(wrong) >= _MANY]:
            links.add(pair.first, pair.second, pair.index)
            kept.append(pair)
    return kept


def _bridges(
    alike: Float32[np.ndarray, 'pictures pictures'], pairs: Sequence[PairMatches], count: int
) -> set[tuple[int, int]]:
    """Return pairs that may connect pictures which no chain of pairs connects yet."""
    ends = np.array([(p.first, p.second) for p in pairs], np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), alike.shape)
    groups, group = connected_components(graph, directed=False)
    if groups < 2:
        return set()
    return set(most_alike(np.where(group[:, None] == group, -np.inf, alike), count))


def pairs_in_time(pictures: int, config: PairConfig) -> list[tuple[int, int]]:
    """Return the pairs of neighbours: all within ``neighbours``, and doubled steps beyond."""
    steps = list(range(1, config.neighbours + 1))
    for power in range(1, config.wider_steps + 1):
        steps.append(config.neighbours * 2**power)
    return [(i, i + step) for step in steps for i in range(pictures - step)]


class PairMatcher:
    """Matches pairs of pictures and checks them by geometry.

    Args:
        features: of each picture.
        size: height and width of the pictures.
        config: when a pair counts.
    """

    def __init__(
        self, features: Sequence[Features], size: tuple[int, int], config: PairConfig
    ) -> None:
        self._features = features
        self._tolerance = max(1.0, _TOLERANCE * max(size))
        self._config = config

    def verified(self, pairs: Iterable[tuple[int, int]]) -> list[PairMatches]:
        """Return those of the pairs that hold, in the order given."""
        found = (self.pair(first, second) for first, second in pairs)
        return [p for p in found if p is not None]

    def pair(self, first: int, second: int) -> PairMatches | None:
        """Return what corresponds in two pictures; None if too little does."""
        # made when needed, as they take four times the memory of the descriptors
        one, other = (unit_vectors(self._features[k].descriptors) for k in (first, second))
        index = match(one, other, self._config.ratio)
        source = self._features[first].pixels[index[:, 0]]
        target = self._features[second].pixels[index[:, 1]]
        kept = on_epipolar_lines(source, target, self._tolerance)
        count = int(kept.sum())
        by_chance = count < _FEW and 2 * count <= len(kept)
        if by_chance or count < self._config.min_matches:
            return None
        index, source, target = index[kept], source[kept], target[kept]
        planar = share_of_a_plane(source, target, self._tolerance)
        return PairMatches(first, second, index, source, target, planar)


def on_epipolar_lines(
    source: Float32[np.ndarray, 'n 2'], target: Float32[np.ndarray, 'n 2'], tolerance: float
) -> Bool[np.ndarray, ' n']:
    """Return which matches one fundamental matrix explains (MAGSAC++, Barath et al. 2020).

    The same matches always give the same answer.

    Args:
        source: pixels in one picture.
        target: pixels in the other.
        tolerance: distance from the epipolar line, pixels.
    """
    nothing = np.zeros(len(source), bool)
    if len(source) < 8:
        return nothing
    try:
        _, mask = cv2.findFundamentalMat(
            source, target, cv2.USAC_MAGSAC, tolerance, _CONFIDENCE, _MAX_ITERATIONS
        )
    except cv2.error:  # no model at all in some degenerate sets
        return nothing
    return nothing if mask is None else mask.ravel() > 0


def share_of_a_plane(
    source: Float32[np.ndarray, 'n 2'], target: Float32[np.ndarray, 'n 2'], tolerance: float
) -> float:
    """Return the share of matches that one homography explains."""
    if len(source) < 4:
        return 0.0
    try:
        _, mask = cv2.findHomography(
            source,
            target,
            cv2.USAC_MAGSAC,
            tolerance,
            maxIters=_MAX_ITERATIONS,
            confidence=_CONFIDENCE,
        )
    except cv2.error:  # as above
        return 0.0
    return 0.0 if mask is None else float(mask.mean())
