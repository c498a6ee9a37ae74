# SPDX-License-Identifier: Apache-2.0
"""Depth as a picture."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.visualization.colors import UNKNOWN

# Share of the nearest and of the farthest pixels that do not stretch the colours.
_CLIPPED = 2.0


def depth_limits(depth: Float[np.ndarray, 'height width']) -> tuple[float, float]:
    """Return the near and far depth (metres) that span the colours; (0, 0) with no depth."""
    known = depth[np.isfinite(depth) & (depth > 0)]
    if known.size == 0:
        return 0.0, 0.0
    near, far = np.percentile(known, [_CLIPPED, 100.0 - _CLIPPED])
    return float(near), float(far)


def depth_picture(
    depth: Float[np.ndarray, 'height width'], limits: tuple[float, float] | None = None
) -> UInt8[np.ndarray, 'height width 3']:
    """Colour z in metres by its inverse, near red and far blue; unknown pixels are dark.

    Args:
        depth: z in metres; zero, negative, NaN and infinity are unknown.
        limits: near and far depth in metres; by default taken from the picture.

    Returns:
        (height, width, 3) RGB.
    """
    near, far = depth_limits(depth) if limits is None else limits
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=known)
    low, high = (1.0 / far, 1.0 / near) if near > 0 else (0.0, 1.0)
    # A plane at one depth has no range of its own; it gets the colour of the middle.
    level = (inverse - low) / (high - low) if high > low else np.full(depth.shape, 0.5)
    grey = np.round(np.clip(level, 0.0, 1.0) * 255.0).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    picture[~known] = UNKNOWN
    return picture
