# SPDX-License-Identifier: Apache-2.0
"""Features of several pictures joined by matches, no two of one picture together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8


class Links:
    """Union-find over the features of all pictures, whole pairs of pictures at once.

    The matches of one pair join groups two by two: each feature has one match, and a group that
    has features in both pictures may not take another, so no group takes part in two joins. The
    joins then do not depend on their order, and numpy does them together.

    Args:
        counts: how many features each picture has.

    Attributes:
        frame: (n,) the picture of each feature, all pictures one after the other.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        pictures = len(counts)
        self.frame: Int64[np.ndarray, ' n'] = np.repeat(np.arange(pictures), counts)
        self._first = np.cumsum([0, *counts])
        self._parent = np.arange(len(self.frame))
        # one bit for each picture that a group has a feature in
        shape = (len(self.frame), -(-pictures // 8))
        self._seen: UInt8[np.ndarray, 'n bytes'] = np.zeros(shape, np.uint8)
        self._seen[self._parent, self.frame >> 3] = 1 << (self.frame & 7)

    def groups(self) -> Int64[np.ndarray, ' n']:
        """Return for each feature one that stands for its group."""
        return self._roots(np.arange(len(self.frame)))

    def contradicted(self, first: int, second: int, index: np.ndarray) -> Bool[np.ndarray, ' k']:
        """Return which matches would bring two features of one picture together.

        Args:
            first: number of a picture.
            second: number of another.
            index: (k, 2) into their features.
        """
        return self._clash(*self._ends(first, second, index))

    def add(self, first: int, second: int, index: np.ndarray) -> None:
        """Join matched features, without those that are contradicted; arguments as there."""
        one, other = self._ends(first, second, index)
        free = ~self._clash(one, other)
        one, other = one[free], other[free]
        self._parent[other] = one
        self._seen[one] |= self._seen[other]

    def _ends(
        self, first: int, second: int, index: np.ndarray
    ) -> tuple[Int64[np.ndarray, ' k'], Int64[np.ndarray, ' k']]:
        """Return the groups of both sides."""
        return (
            self._roots(index[:, 0] + self._first[first]),
            self._roots(index[:, 1] + self._first[second]),
        )

    def _clash(
        self, one: Int64[np.ndarray, ' k'], other: Int64[np.ndarray, ' k']
    ) -> Bool[np.ndarray, ' k']:
        both = np.any(self._seen[one] & self._seen[other], axis=1)
        return both & (one != other)

    def _roots(self, nodes: Int64[np.ndarray, ' k']) -> Int64[np.ndarray, ' k']:
        found = self._parent[nodes]
        while True:
            above = self._parent[found]
            if (above == found).all():
                self._parent[nodes] = found
                return found
            found = above
