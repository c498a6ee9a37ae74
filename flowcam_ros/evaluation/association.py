# SPDX-License-Identifier: Apache-2.0
"""Which pose of one trajectory belongs to which of another, by their stamps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

Indices = Int64[np.ndarray, ' m']


def associate(
    stamps_ns: Int64[np.ndarray, ' n'],
    other_ns: Int64[np.ndarray, ' k'],
    max_difference_ns: int,
) -> tuple[Indices, Indices]:
    """Pair stamps that are each other's nearest, at most ``max_difference_ns`` apart.

    Both inputs increase strictly. No stamp is used twice; the pairs increase, too.

    Returns:
        The indices into ``stamps_ns`` and into ``other_ns``, (M,) each.
    """
    if len(stamps_ns) == 0 or len(other_ns) == 0:
        empty = np.empty(0, np.int64)
        return empty, empty
    forward = _nearest(stamps_ns, other_ns)
    backward = _nearest(other_ns, stamps_ns)
    index = np.arange(len(stamps_ns))
    mutual = backward[forward] == index
    close = np.abs(other_ns[forward] - stamps_ns) <= max_difference_ns
    chosen = index[mutual & close]
    return chosen, forward[chosen]


def _nearest(stamps: Int64[np.ndarray, ' n'], among: Int64[np.ndarray, ' k']) -> Indices:
    """Return for each stamp the index of the nearest in ``among``, the earlier one on a tie."""
    if len(among) == 1:
        return np.zeros(len(stamps), np.int64)
    right = np.clip(np.searchsorted(among, stamps), 1, len(among) - 1)
    left = right - 1
    return np.where(stamps - among[left] <= among[right] - stamps, left, right)
