# SPDX-License-Identifier: Apache-2.0
"""Trust in dense flow: whether the way there and back again ends where it began."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# From a source and a target image to the displacement between them.
Matcher = Callable[[np.ndarray, np.ndarray], np.ndarray]
# A way back that leaves the picture ends this far away, pixels.
_ASTRAY = 1e4


def round_trip_confidence(
    matcher: Matcher,
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
    displacement: Float[np.ndarray, 'height width 2'],
    max_inconsistency: float,
) -> Float[np.ndarray, 'height width']:
    """Return confidence that falls from 1 to 0 as the way there and back fails to close.

    The way back is matched at half the size: it only has to tell right from wrong, and costs a
    quarter.

    Args:
        matcher: dense flow from its first image to its second.
        source: grey source image.
        target: grey target image.
        displacement: of each source pixel into the target, pixels.
        max_inconsistency: distance from the start, in pixels, at which confidence is 0.
    """
    height, width = source.shape
    half = ((width + 1) // 2, (height + 1) // 2)
    scale = np.array([half[0] / width, half[1] / height], np.float32)
    small = [cv2.resize(i, half, interpolation=cv2.INTER_AREA) for i in (target, source)]
    back = matcher(small[0], small[1])
    forward = cv2.resize(displacement, half, interpolation=cv2.INTER_AREA) * scale
    gap = (forward + followed(back, forward)) / scale
    error = lengths(gap[..., 0], gap[..., 1])
    error = cv2.resize(error, (width, height), interpolation=cv2.INTER_LINEAR)
    confidence: np.ndarray = 1.0 - error / np.float32(max_inconsistency)
    return np.maximum(confidence, 0.0, out=confidence)


def followed(
    values: Float[np.ndarray, 'height width *channels'],
    displacement: Float[np.ndarray, 'height width 2'],
    outside: float = _ASTRAY,
) -> Float[np.ndarray, 'height width *channels']:
    """Return the values where each pixel went; ``outside`` where it left the picture."""
    height, width = displacement.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(
        values,
        x + displacement[..., 0],
        y + displacement[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(outside, outside),
    )


def lengths(
    x: Float[np.ndarray, 'height width'], y: Float[np.ndarray, 'height width']
) -> Float[np.ndarray, 'height width']:
    """Return the lengths of vectors, the same whenever it is asked.

    The last bit of OpenCV's magnitude depends on where in memory its arrays begin.
    """
    squares = x * x
    squares += y * y
    return np.sqrt(squares, out=squares)
