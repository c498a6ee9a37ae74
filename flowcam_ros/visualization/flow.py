# SPDX-License-Identifier: Apache-2.0
"""Optical flow as a picture: hue is the direction, saturation the length."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Share of the longest displacements that do not pale the others.
_CLIPPED = 1.0
_SHORTEST_LIMIT = 0.5  # pixels


def flow_limit(displacement: Float[np.ndarray, 'height width 2']) -> float:
    """Return the length, pixels, that gets the full colour."""
    length = np.linalg.norm(displacement[::2, ::2], axis=-1)
    return max(float(np.percentile(length, 100.0 - _CLIPPED)), _SHORTEST_LIMIT)


def flow_picture(
    displacement: Float[np.ndarray, 'height width 2'], limit: float
) -> UInt8[np.ndarray, 'height width 3']:
    """Colour displacements: white stands still, full colour moves by ``limit`` pixels.

    Right is red, down yellow-green, left cyan, up violet, as in :func:`wheel_picture`.

    Returns:
        (height, width, 3) BGR.
    """
    x, y = (np.ascontiguousarray(displacement[..., i], np.float32) for i in (0, 1))
    length, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    hue = (angle * 0.5).astype(np.uint8) % 180
    saturation = np.minimum(length * (255.0 / limit), 255.0).astype(np.uint8)
    value = np.full_like(hue, 255)
    return cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)


def draw_wheel(picture: UInt8[np.ndarray, 'height width 3'], radius: int) -> None:
    """Draw the meaning of the colours into the lower right corner: the rim is the limit."""
    size = 2 * radius + 1
    height, width = picture.shape[:2]
    if size + 4 > min(height, width):
        return
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    wheel = flow_picture(np.stack([x, y], -1), float(radius))
    corner = picture[height - size - 3 : height - 3, width - size - 3 : width - 3]
    inside = x * x + y * y <= radius * radius
    corner[inside] = wheel[inside]
    cv2.circle(corner, (radius, radius), radius, (60, 60, 60), 1, cv2.LINE_AA)
