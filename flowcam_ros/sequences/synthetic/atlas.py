# SPDX-License-Identifier: Apache-2.0
"""All pictures of a world, each at every halved size, on one sheet.

One look-up in one sheet then textures a whole image, whatever it shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Copied rim round each picture, so that interpolation at its edge reads its own colour.
_RIM = 2
# cv2.remap takes sheets of at most this size.
_MAX_SHEET_HEIGHT = 32000
_SMALLEST = 2


@dataclass(frozen=True)
class Atlas:
    """The sheet and where each picture lies on it.

    Attributes:
        sheet: (H, W, 3) BGR.
        layout: (pictures, levels, 4) width and height of each picture at each level, texels, then
            x and y of its top-left corner: place (u, v), 0 to 1, is at corner + size * (u, v).
        last_level: (pictures,) the coarsest level each picture has.
    """

    sheet: UInt8[np.ndarray, 'h w 3']
    layout: Float[np.ndarray, 'pictures levels 4']
    last_level: Float[np.ndarray, ' pictures']


def build_atlas(pictures: list[UInt8[np.ndarray, '_ _ 3']]) -> Atlas:
    """Lay out the pictures and their halved copies on one sheet."""
    pyramids = [_pyramid(picture) for picture in pictures]
    levels = max(map(len, pyramids))
    boxes = [(i, k) for i, pyramid in enumerate(pyramids) for k in range(len(pyramid))]
    boxes.sort(key=lambda box: (-pyramids[box[0]][box[1]].shape[0], box))
    width = _sheet_width(pyramids)
    corners, height = _shelves([pyramids[i][k].shape[:2] for i, k in boxes], width)
    sheet = np.zeros((height, width, 3), np.uint8)
    layout = np.ones((len(pictures), levels, 4), np.float32)
    for (i, k), (top, left) in zip(boxes, corners, strict=True):
        level = pyramids[i][k]
        framed = cv2.copyMakeBorder(level, _RIM, _RIM, _RIM, _RIM, cv2.BORDER_REPLICATE)
        sheet[top : top + framed.shape[0], left : left + framed.shape[1]] = framed
        corner = (left + _RIM - 0.5, top + _RIM - 0.5)
        layout[i, k] = level.shape[1], level.shape[0], *corner
    last = np.array([len(pyramid) - 1 for pyramid in pyramids], np.float32)
    return Atlas(sheet, layout, last)


def _pyramid(picture: UInt8[np.ndarray, 'h w 3']) -> list[UInt8[np.ndarray, '_ _ 3']]:
    levels = [picture]
    while max(levels[-1].shape[:2]) >= 2 * _SMALLEST:
        height, width = levels[-1].shape[:2]
        half = (max(1, width // 2), max(1, height // 2))
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
    return levels


def _sheet_width(pyramids: list[list[np.ndarray]]) -> int:
    texels = sum(level.shape[0] * level.shape[1] for p in pyramids for level in p)
    widest = max(level.shape[1] for p in pyramids for level in p) + 2 * _RIM
    return max(widest, int(np.ceil(np.sqrt(texels) * 1.05)), 64)


def _shelves(sizes: list[tuple[int, ...]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Place boxes, sorted from tall to low, in rows; return their corners and the height."""
    corners = []
    top = left = shelf = 0
    for box_height, box_width in sizes:
        if left + box_width + 2 * _RIM > width:
            top, left, shelf = top + shelf, 0, 0
        corners.append((top, left))
        left += box_width + 2 * _RIM
        shelf = max(shelf, box_height + 2 * _RIM)
    if top + shelf > _MAX_SHEET_HEIGHT:
        raise ValueError(f'the pictures of the world need a sheet {top + shelf} texels high')
    return corners, top + shelf
