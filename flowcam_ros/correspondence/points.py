# SPDX-License-Identifier: Apache-2.0
"""Well-spread textured pixels of a key frame, and their flow refined to sub-pixel accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

# One Lucas-Kanade level with this window corrects what dense flow leaves (a pixel or two).
_WINDOW = (13, 13)
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.01)
# Image noise and model error that remain at a perfect corner; texture can only make it worse.
_BEST_SIGMA_PX = 0.08
_GREY_NOISE = 2.0


def select_points(
    grey: UInt8[np.ndarray, 'height width'],
    usable: Bool[np.ndarray, 'height width'] | None,
    count: int,
    border: int = 8,
) -> tuple[Float[np.ndarray, 'n 2'], Float[np.ndarray, 'n']]:
    """Return the best textured pixel of each cell of a grid, and its texture.

    Args:
        grey: the key frame.
        usable: where points may lie; None means everywhere.
        count: about how many cells the grid has.
        border: pixels at the rim that are left out.

    Returns:
        (n, 2) float32 pixel positions (x, y) and (n,) float32 smaller eigenvalue of the structure
        tensor in (grey values / pixel)^2; cells with no texture at all give no point.
    """
    height, width = grey.shape
    texture = cv2.cornerMinEigenVal(grey, 7, ksize=3)
    # undo OpenCV's scaling (1 / (255 * 4 * 7) for 8-bit, Sobel 3) and the window sum
    texture *= np.float32((255.0 * 2.0**2 * 7.0) ** 2 / (2.0 * 2.0**2) ** 2 / 7.0**2)
    if usable is not None:
        texture[~usable] = 0.0
    cell = max(4, round(np.sqrt(width * height / count)))
    rows, columns = (height - 2 * border) // cell, (width - 2 * border) // cell
    if rows < 1 or columns < 1:
        return np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    inner = texture[border : border + rows * cell, border : border + columns * cell]
    cells = inner.reshape(rows, cell, columns, cell).transpose(0, 2, 1, 3).reshape(-1, cell * cell)
    best = cells.argmax(1)
    value = cells[np.arange(len(cells)), best]
    index = np.arange(len(cells))
    x = border + (index % columns) * cell + best % cell
    y = border + (index // columns) * cell + best // cell
    keep = value > 1.0
    return np.stack([x, y], -1)[keep].astype(np.float32), value[keep]


@dataclass(frozen=True)
class RefinedPoints:
    """Where points of the source image lie in the target image.

    Attributes:
        target: (n, 2) float32 pixel positions (x, y).
        sigma: (n,) float32 standard deviation of a coordinate, pixels.
        valid: (n,) bool; False where the way there and back disagrees.
    """

    target: Float[np.ndarray, 'n 2']
    sigma: Float[np.ndarray, 'n']
    valid: Bool[np.ndarray, 'n']


def refine_points(
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
    points: Float[np.ndarray, 'n 2'],
    texture: Float[np.ndarray, 'n'],
    start: Float[np.ndarray, 'n 2'],
    max_inconsistency: float,
) -> RefinedPoints:
    """Refine the flow of textured points by Lucas-Kanade, there and back again.

    Args:
        source: grey source image.
        target: grey target image.
        points: (n, 2) positions in the source.
        texture: (n,) from :func:`select_points`.
        start: (n, 2) first guess of the positions in the target, from dense flow.
        max_inconsistency: largest distance after the round trip, pixels.
    """
    if len(points) == 0:
        none = np.zeros(0, np.float32)
        return RefinedPoints(points.copy(), none, none.astype(bool))
    options = {
        'winSize': _WINDOW,
        'maxLevel': 0,
        'criteria': _CRITERIA,
        'flags': cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    forward, found, residual = cv2.calcOpticalFlowPyrLK(
        source, target, points[:, None], start[:, None].copy(), **options
    )
    back, returned, _ = cv2.calcOpticalFlowPyrLK(
        target, source, forward, (forward - start[:, None] + points[:, None]), **options
    )
    forward, back = forward[:, 0], back[:, 0]
    gap = np.linalg.norm(back - points, axis=1)
    height, width = target.shape
    inside = (
        (forward[:, 0] >= 0)
        & (forward[:, 1] >= 0)
        & (forward[:, 0] <= width - 1)
        & (forward[:, 1] <= height - 1)
    )
    moved = np.linalg.norm(forward - start, axis=1)
    valid = (
        (found[:, 0] == 1)
        & (returned[:, 0] == 1)
        & inside
        & (gap < max_inconsistency)
        & (moved < _WINDOW[0])
    )
    noise = np.maximum(_GREY_NOISE, residual[:, 0])
    sigma = np.sqrt(_BEST_SIGMA_PX**2 + noise**2 / (_WINDOW[0] ** 2 * texture) + (0.5 * gap) ** 2)
    return RefinedPoints(forward, sigma.astype(np.float32), valid)
