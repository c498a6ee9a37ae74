# SPDX-License-Identifier: Apache-2.0
"""Features of two pictures that are each other's nearest, and nearer than the second nearest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int32, UInt8

# Unit vectors farther apart than this are no match, whatever the second nearest.
_MAX_DISTANCE = 0.7
# Squared distances below this are those of equal descriptors.
_ROUNDING = 1e-5


def unit_vectors(descriptors: UInt8[np.ndarray, 'n d']) -> Float32[np.ndarray, 'n d']:
    """Return descriptors as vectors of length 1, as :func:`match` wants them."""
    values = descriptors.astype(np.float32)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(length, np.float32(1e-9))


def match(
    first: Float32[np.ndarray, 'n d'], second: Float32[np.ndarray, 'm d'], ratio: float
) -> Int32[np.ndarray, 'k 2']:
    """Return indices of mutual nearest neighbours that pass Lowe's ratio test (2004) both ways.

    Args:
        first: unit vectors of one picture.
        second: those of the other.
        ratio: how many times as far the second nearest must be, its inverse.
    """
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), np.int32)
    alike = first @ second.T
    there = alike.argmax(1)
    best = alike[np.arange(len(first)), there]
    own = np.flatnonzero(best == alike.max(0)[there])
    own = own[np.bincount(there[own], minlength=len(second))[there[own]] == 1]
    other, best = there[own], best[own]
    alike[own, other] = -1.0
    rival = np.maximum(alike.max(1)[own], alike.max(0)[other])
    distance, next_distance = 2.0 - 2.0 * best, 2.0 - 2.0 * rival  # squared
    kept = distance < _MAX_DISTANCE**2
    kept &= distance + _ROUNDING < ratio**2 * next_distance
    return np.stack([own[kept], other[kept]], 1).astype(np.int32)
