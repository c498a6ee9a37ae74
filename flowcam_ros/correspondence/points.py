# SPDX-License-Identifier: Apache-2.0
"""Well-spread textured pixels of a key frame, and their flow refined to sub-pixel accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from flowcam_ros.geometry.photometry import NOISE_GRADIENT, image_noise

_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.01)
# Image noise and model error that remain at a perfect corner; texture can only make it worse.
_BEST_SIGMA_PX = 0.08
# Lens models, rolling shutters and changing views bend the flow by this share of its length.
MODEL_ERROR = 0.005
_GREY_NOISE = 2.0
_TEXTURE_WINDOW = 7
# Weaker texture than this, (grey values / pixel)^2, is rounding to whole grey values.
MIN_TEXTURE = 1.0
# How far above the slopes of noise the least texture is, in powers.
_NOISE_MARGIN = 4.0
_BORDER = 8  # pixels at the rim where windows would leave the picture


def texture_map(grey: UInt8[np.ndarray, 'height width']) -> Float[np.ndarray, 'height width']:
    """Return how much texture there is beyond noise, (grey values / pixel)^2; 0 for none.

    The smaller eigenvalue of the mean structure tensor, where it is well above what the image
    noise alone would make of a blank wall.
    """
    texture: np.ndarray = cv2.cornerMinEigenVal(grey, _TEXTURE_WINDOW, ksize=3)
    # OpenCV scales 8-bit Sobel sums by 1 / (255 * 4 * window); true derivatives are Sobel / 8
    texture *= np.float32((255.0 * 4.0 / 8.0) ** 2)
    least = max(MIN_TEXTURE, _NOISE_MARGIN * NOISE_GRADIENT * image_noise(grey) ** 2)
    return cv2.threshold(texture, least, 0.0, cv2.THRESH_TOZERO)[1]


def cell_size(height: int, width: int, count: int) -> int:
    """Return the side of the squares that divide a picture into about ``count`` cells, pixels."""
    return max(4, round(np.sqrt(width * height / count)))


def select_points(
    texture: Float[np.ndarray, 'height width'],
    usable: Bool[np.ndarray, 'height width'] | None,
    count: int,
    taken: Float[np.ndarray, 'm 2'] | None = None,
) -> Float[np.ndarray, 'n 2']:
    """Return the best textured pixel of each free cell of a grid.

    Args:
        texture: from :func:`texture_map`.
        usable: where points may lie; None means everywhere.
        count: about how many cells the grid has.
        taken: (m, 2) points that there are already; their cells give none.

    Returns:
        (n, 2) float32 pixel positions (x, y); cells with no texture at all give no point.
    """
    height, width = texture.shape
    if usable is not None:
        texture = np.where(usable, texture, np.float32(0.0))
    cell = cell_size(height, width, count)
    rows, columns = (height - 2 * _BORDER) // cell, (width - 2 * _BORDER) // cell
    if rows < 1 or columns < 1:
        return np.zeros((0, 2), np.float32)
    inner = texture[_BORDER : _BORDER + rows * cell, _BORDER : _BORDER + columns * cell]
    cells = inner.reshape(rows, cell, columns, cell).transpose(0, 2, 1, 3).reshape(-1, cell * cell)
    best = cells.argmax(1)
    index = np.arange(len(cells))
    keep = cells[index, best] > MIN_TEXTURE
    if taken is not None and len(taken):
        at = np.clip((taken - _BORDER) // cell, 0, (columns - 1, rows - 1)).astype(np.intp)
        keep[at[:, 1] * columns + at[:, 0]] = False
    x = _BORDER + (index % columns) * cell + best % cell
    y = _BORDER + (index // columns) * cell + best // cell
    return np.stack([x, y], -1)[keep].astype(np.float32)


@dataclass(frozen=True)
class RefinedPoints:
    """Where points of the source image lie in the target image.

    Attributes:
        target: (n, 2) float32 pixel positions (x, y).
        sigma: (n,) float32 standard deviation of a coordinate, pixels.
        valid: (n,) bool; False where the way there and back disagrees.
    """

    target: Float[np.ndarray, 'n 2']
    sigma: Float[np.ndarray, ' n']
    valid: Bool[np.ndarray, ' n']


def refine_points(
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
    points: Float[np.ndarray, 'n 2'],
    texture: Float[np.ndarray, ' n'],
    start: Float[np.ndarray, 'n 2'],
    max_inconsistency: float,
) -> RefinedPoints:
    """Refine the flow of textured points by Lucas-Kanade, there and back again.

    Args:
        source: grey source image.
        target: grey target image.
        points: (n, 2) positions in the source.
        texture: (n,) at the points, from :func:`texture_map`.
        start: (n, 2) guess of the positions in the target, right to a few pixels.
        max_inconsistency: largest distance after the round trip, pixels.
    """
    return _matched(source, target, points, texture, start, max_inconsistency, _FINE)


def search_points(
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
    points: Float[np.ndarray, 'n 2'],
    texture: Float[np.ndarray, ' n'],
    max_inconsistency: float,
) -> RefinedPoints:
    """Find textured points again from coarse to fine, with no guess where they are.

    Slower than :func:`refine_points`, whose arguments these are; for motion too large, or texture
    too poor, for dense flow.
    """
    return _matched(source, target, points, texture, points, max_inconsistency, _COARSE_TO_FINE)


@dataclass(frozen=True)
class _Search:
    window: int
    levels: int


_FINE = _Search(window=13, levels=0)
# Points closer together than this share the image noise of their windows.
FINE_WINDOW = _FINE.window
_COARSE_TO_FINE = _Search(window=21, levels=4)
_ASTRAY = 1e3


def _matched(
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
    points: Float[np.ndarray, 'n 2'],
    texture: Float[np.ndarray, ' n'],
    start: Float[np.ndarray, 'n 2'],
    max_inconsistency: float,
    search: _Search,
) -> RefinedPoints:
    if len(points) == 0:
        none = np.zeros(0, np.float32)
        return RefinedPoints(points.copy(), none, none.astype(bool))
    found, gap, residual = _there_and_back(source, target, points, start, search)
    noise = np.clip(residual, _GREY_NOISE, 255.0)
    information = search.window**2 * texture
    far = np.minimum(np.linalg.norm(found - points, axis=1), max(target.shape))
    variance = _BEST_SIGMA_PX**2 + noise**2 / information + (0.5 * gap) ** 2
    sigma = np.sqrt(variance + (MODEL_ERROR * far) ** 2)
    return RefinedPoints(found, sigma.astype(np.float32), gap < max_inconsistency)


def _there_and_back(
    source: UInt8[np.ndarray, 'height width'],
    target: UInt8[np.ndarray, 'height width'],
    points: Float[np.ndarray, 'n 2'],
    start: Float[np.ndarray, 'n 2'],
    search: _Search,
) -> tuple[Float[np.ndarray, 'n 2'], Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return positions in the target, round-trip distance (huge if lost) and grey residual."""
    lucas_kanade = partial(
        cv2.calcOpticalFlowPyrLK,
        winSize=(search.window, search.window),
        maxLevel=search.levels,
        criteria=_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    there, found, residual = lucas_kanade(source, target, points[:, None], start[:, None].copy())
    first_back = there - start[:, None] + points[:, None]
    back, returned, _ = lucas_kanade(target, source, there, first_back)
    there, back = there[:, 0], back[:, 0]
    height, width = target.shape
    inside = (there >= 0).all(1) & (there <= (width - 1, height - 1)).all(1)
    moved = np.linalg.norm(there - start, axis=1)
    reach = search.window * 2.0**search.levels
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & inside & (moved < reach)
    # points that ran out of the picture may come back with wild values
    gap = np.nan_to_num(np.linalg.norm(back - points, axis=1), nan=_ASTRAY)
    return (
        there,
        np.where(good, gap.clip(max=_ASTRAY), np.float32(_ASTRAY)),
        np.nan_to_num(residual[:, 0]),
    )
