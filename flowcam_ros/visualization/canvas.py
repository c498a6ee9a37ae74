# SPDX-License-Identifier: Apache-2.0
"""Titled panels with a colour scale each, drawn with OpenCV: a figure a frame must be quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from flowcam_ros.visualization.colors import INK, UNKNOWN

Picture = UInt8[np.ndarray, 'height width 3']
Colour = tuple[int, int, int]

STRIP = 26  # pixels of height of a panel's title
GAP = 8  # pixels between panels
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BAR = (70, 10)  # width and height of a colour scale, pixels
_SHIFT = 4  # OpenCV draws at 1/16 pixel


def bgr(name: str) -> Colour:
    """Return '#rrggbb' as OpenCV's blue, green, red."""
    return int(name[5:7], 16), int(name[3:5], 16), int(name[1:3], 16)


INK_BGR = bgr(INK)
DARK: Colour = (UNKNOWN[2], UNKNOWN[1], UNKNOWN[0])
Lut = UInt8[np.ndarray, '256 3']


def _colour_map(number: int) -> Lut:
    return cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], number)[:, 0]


def _blend(*colours: str) -> Lut:
    """Return colours that go evenly from each of the given ones to the next."""
    at = np.linspace(0.0, len(colours) - 1.0, 256)
    parts = np.array([bgr(c) for c in colours], float)
    channels = [np.interp(at, range(len(colours)), parts[:, i]) for i in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


TURBO = _colour_map(cv2.COLORMAP_TURBO)
VIRIDIS = _colour_map(cv2.COLORMAP_VIRIDIS)
GOOD_TO_BAD = _blend('#15b33c', '#f5d90a', '#e5241b')


@dataclass(frozen=True)
class Scale:
    """What the colours of a panel mean.

    Attributes:
        low: label of the first colour.
        high: label of the last one, with the unit.
        colours: from first to last.
    """

    low: str
    high: str
    colours: Lut


def coloured(
    level: Float[np.ndarray, 'height width'], colours: Lut, unknown: Colour = DARK
) -> Picture:
    """Return a map of 0 to 1 in colours; larger and smaller are clipped, NaN is ``unknown``."""
    known = np.isfinite(level)
    index = np.round(np.clip(np.where(known, level, 0.0), 0.0, 1.0) * 255.0).astype(np.uint8)
    picture = colours[index]
    picture[~known] = unknown
    return picture


def white(height: int, width: int) -> Picture:
    """Return an empty picture."""
    return np.full((height, width, 3), 255, np.uint8)


def write(
    picture: Picture,
    words: str,
    at: tuple[int, int],
    size: float = 0.45,
    colour: Colour = INK_BGR,
    *,
    bold: bool = False,
    right: bool = False,
) -> int:
    """Write one line with its baseline at ``at`` (or ending there) and return its width."""
    # OpenCV's letters are those of ASCII
    words = words.replace('°', ' deg').encode('ascii', 'replace').decode()
    thickness = 2 if bold else 1
    width = cv2.getTextSize(words, _FONT, size, thickness)[0][0]
    start = (at[0] - width, at[1]) if right else at
    cv2.putText(picture, words, start, _FONT, size, colour, thickness, cv2.LINE_AA)
    return int(width)


def panel(picture: Picture, title: str, scale: Scale | None = None) -> Picture:
    """Return a picture below its title, with the scale of its colours to the right of that."""
    strip = white(STRIP, picture.shape[1])
    base = STRIP - 8
    end = picture.shape[1] - 2
    if scale is not None:
        end -= write(strip, scale.high, (end, base), 0.38, right=True) + 5
        bar = cv2.resize(scale.colours[None], _BAR, interpolation=cv2.INTER_NEAREST)
        strip[base - _BAR[1] + 1 : base + 1, end - _BAR[0] : end] = bar
        end -= _BAR[0] + 5
        end -= write(strip, scale.low, (end, base), 0.38, right=True) + 5
    write_within(strip, title, (1, base), 0.43, end)
    return np.vstack([strip, picture])


def write_within(picture: Picture, words: str, at: tuple[int, int], size: float, end: int) -> None:
    """Write one line, smaller if it would not end before column ``end``."""
    width = cv2.getTextSize(words, _FONT, 1.0, 1)[0][0]
    write(picture, words, at, min(size, max(end - at[0], 1) / max(width, 1)))


def empty_panel(height: int, width: int, title: str, why: str) -> Picture:
    """Return a panel that says why there is nothing to show."""
    picture = np.full((height, width, 3), 236, np.uint8)
    write(picture, why, (12, height // 2), 0.45, (110, 110, 110))
    return panel(picture, title)


def side_by_side(panels: Sequence[Picture]) -> Picture:
    """Return panels of one height beside each other."""
    gap = white(panels[0].shape[0], GAP)
    parts = [part for one in panels for part in (one, gap)]
    return np.hstack(parts[:-1])


def stacked(rows: Sequence[Picture]) -> Picture:
    """Return rows of one width below each other."""
    return np.vstack(list(rows))


def subpixels(points: Float[np.ndarray, 'n 2']) -> Int[np.ndarray, 'n 2']:
    """Return pixel coordinates as OpenCV's drawing functions take them, see ``disc``."""
    return np.round(np.clip(points, -1e4, 1e4) * (1 << _SHIFT)).astype(np.int32)


def disc(picture: Picture, x: int, y: int, radius: float, colour: Colour) -> None:
    """Draw a disc at :func:`subpixels`."""
    size = round(radius * (1 << _SHIFT))
    cv2.circle(picture, (x, y), size, colour, -1, cv2.LINE_AA, _SHIFT)


def cross(picture: Picture, x: int, y: int, radius: float, colour: Colour) -> None:
    """Draw a diagonal cross at :func:`subpixels`."""
    r = round(radius * (1 << _SHIFT))
    cv2.line(picture, (x - r, y - r), (x + r, y + r), colour, 1, cv2.LINE_AA, _SHIFT)
    cv2.line(picture, (x - r, y + r), (x + r, y - r), colour, 1, cv2.LINE_AA, _SHIFT)


def segment(
    picture: Picture, start: tuple[int, int], end: tuple[int, int], colour: Colour
) -> None:
    """Draw a line between :func:`subpixels`."""
    cv2.line(picture, start, end, colour, 1, cv2.LINE_AA, _SHIFT)
