# SPDX-License-Identifier: Apache-2.0
"""Gaps of one pixel in a depth map, which projecting it pixel by pixel leaves behind.

Only a gap with the same surface on both sides is closed. Over a wider gap, or between two
surfaces, nobody knows what is there.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

# Two pixels show one surface if their inverse depths differ by less than this share.
_ONE_SURFACE = np.float32(1.05)
_KERNEL = np.ones((3, 3), np.uint8)
# Steps (rows, columns) to one of two opposite neighbours; the other is as far the other way.
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))

Map = Float[np.ndarray, 'height width']


def close_pinholes(inverse: Map, variance: Map) -> tuple[Map, Map]:
    """Return the maps with unknown pixels filled whose opposite neighbours show one surface.

    Args:
        inverse: 1/z; 0 where unknown.
        variance: of ``inverse``; infinite where unknown.
    """
    known = (inverse > 0).view(np.uint8)
    closed = cv2.morphologyEx(known, cv2.MORPH_CLOSE, _KERNEL)
    return _bridged(inverse, variance, closed > known)


def close_gaps(inverse: Map, variance: Map) -> tuple[Map, Map]:
    """Return the maps with pinholes closed, also those through which a far surface shows.

    The arguments are those of :func:`close_pinholes`. For maps whose pixels were moved: a camera
    does see far surfaces through narrow gaps.
    """
    closed = cv2.morphologyEx(inverse, cv2.MORPH_CLOSE, _KERNEL)
    return _bridged(inverse, variance, closed > inverse * _ONE_SURFACE)


def _bridged(
    inverse: Map, variance: Map, candidates: Bool[np.ndarray, 'height width']
) -> tuple[Map, Map]:
    """Fill those candidates from the first pair of opposite neighbours that agree."""
    candidates[[0, -1]] = False
    candidates[:, [0, -1]] = False
    open_ = np.flatnonzero(candidates)
    if len(open_) == 0:
        return inverse, variance
    result, spread = inverse.copy(), variance.copy()
    for rows, columns in _DIRECTIONS:
        step = rows * inverse.shape[1] + columns
        one, other = inverse.take(open_ - step), inverse.take(open_ + step)
        low, high = np.minimum(one, other), np.maximum(one, other)
        agree = (high < low * _ONE_SURFACE) & (low > inverse.take(open_) * _ONE_SURFACE)
        at, low, high = open_[agree], low[agree], high[agree]
        worse = np.maximum(variance.take(at - step), variance.take(at + step))
        result.put(at, np.float32(0.5) * (low + high))
        spread.put(at, worse + (np.float32(0.5) * (high - low)) ** 2)
        open_ = open_[~agree]
    return result, spread
