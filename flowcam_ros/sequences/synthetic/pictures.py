# SPDX-License-Identifier: Apache-2.0
"""What hangs and stands about: posters, paintings, books, rugs, doors, views from windows."""

from __future__ import annotations

import cv2
import numpy as np

from flowcam_ros.sequences.synthetic.materials import Colour, Picture, Workshop, wood

_WORDS = (
    *('NORTH', 'LIGHT', 'HARBOUR', 'SUMMER', 'ATLAS', 'ECHO', 'RIVER', 'SIGNAL', 'ORBIT'),
    *('VECTOR', 'QUARRY', 'LANTERN', 'CANVAS', 'PRISM', 'HORIZON', 'FERRY', 'COPPER'),
)


def poster(shop: Workshop, width: float, height: float) -> Picture:
    """Return a printed poster: shapes, a title, and lines of small print."""
    paper = shop.colour(0.25, 0.9)
    picture = shop.shade(paper, 1.0 + 0.03 * shop.noise(width, height))
    rows, columns = picture.shape[:2]
    for _ in range(shop.rng.integers(4, 9)):
        _shape(shop, picture)
    print_tone = 1.0 + 0.05 * shop.noise(width, height)[..., None]
    picture = np.clip(picture * print_tone, 0, 255).astype(np.uint8)
    ink = _bytes(shop.colour(0.6, 0.25))
    title = str(shop.rng.choice(_WORDS))
    scale = 0.85 * columns / max(1, cv2.getTextSize(title, cv2.FONT_HERSHEY_DUPLEX, 1.0, 1)[0][0])
    _text(picture, title, (0.07 * columns, 0.16 * rows), scale, ink)
    for line in range(5):
        words = ' '.join(shop.rng.choice(_WORDS, 5).tolist()).lower()
        place = (0.07 * columns, (0.80 + 0.04 * line) * rows)
        _text(picture, words, place, 0.022 * rows / 22, ink)
    return picture


def _shape(shop: Workshop, picture: Picture) -> None:
    rows, columns = picture.shape[:2]
    colour = _bytes(shop.colour(0.7, shop.rng.uniform(0.3, 0.9)))
    x, y = shop.rng.uniform((0.1, 0.25), (0.9, 0.75)) * (columns, rows)
    size = shop.rng.uniform(0.06, 0.28) * columns
    kind = shop.rng.integers(4)
    if kind == 0:
        _disc(picture, (x, y), size, colour)
    elif kind == 1:
        _disc(picture, (x, y), size, colour, thickness=max(1, round(0.2 * size)))
    else:
        corners = 3 if kind == 2 else 4
        angles = shop.rng.uniform(0, 7) + np.arange(corners) * (2 * np.pi / corners)
        points = np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], axis=-1)
        cv2.fillConvexPoly(picture, np.rint(points * 16).astype(np.int32), colour, cv2.LINE_AA, 4)


def _disc(
    picture: Picture,
    centre: tuple[float, float],
    radius: float,
    colour: Colour,
    thickness: int = -1,
) -> None:
    place = (round(centre[0] * 16), round(centre[1] * 16))
    cv2.circle(picture, place, round(radius * 16), colour, thickness, cv2.LINE_AA, 4)


def _text(
    picture: Picture, text: str, place: tuple[float, float], scale: float, colour: Colour
) -> None:
    thickness = max(1, round(2.2 * scale))
    corner = (round(place[0]), round(place[1]))
    font = cv2.FONT_HERSHEY_DUPLEX
    cv2.putText(picture, text, corner, font, scale, colour, thickness, cv2.LINE_AA)


def _bytes(colour: Colour) -> Colour:
    return 255 * colour[0], 255 * colour[1], 255 * colour[2]


def landscape(shop: Workshop, width: float, height: float) -> Picture:
    """Return a painting of sky, hills and fields in brush strokes."""
    down = shop.grid(width, height)[1] / height
    strokes = shop.noise(width, height, (1.0, 3.0))
    clouds = np.clip(0.5 + 0.5 * shop.noise(width, height, (1.0, 2.0)), 0, 1)
    sky = shop.shade((0.82, 0.66, 0.50), 0.85 + 0.35 * clouds + 0.08 * strokes)
    picture = sky
    for k, (colour, base) in enumerate(
        (((0.55, 0.48, 0.42), 0.42), ((0.38, 0.50, 0.36), 0.56), ((0.25, 0.50, 0.55), 0.72))
    ):
        row = shop.noise(width, height, (1.0, 1.0 + k))[:1]
        ground = shop.shade(colour, 0.9 + 0.22 * strokes + 0.3 * (down - base))
        picture = np.where((down > base + 0.06 * row)[..., None], ground, picture)
    return _framed(shop, picture, 0.035)


def abstract(shop: Workshop, width: float, height: float) -> Picture:
    """Return a painting of stained patches of a few colours."""
    field = shop.noise(width, height, (1.0, 1.5)) + 0.3 * shop.noise(width, height)
    levels = np.quantile(field[::4, ::4], np.linspace(0, 1, 7)[1:-1])
    patch = np.digitize(field, levels)
    tone = 1.0 + 0.14 * shop.noise(width, height)
    picture = np.zeros((*field.shape, 3), np.uint8)
    for number in range(6):
        colour = shop.colour(0.55, shop.rng.uniform(0.35, 0.9))
        there = patch == number
        picture[there] = shop.shade(colour, tone)[there]
    return _framed(shop, picture, 0.04)


def _framed(shop: Workshop, picture: Picture, width: float) -> Picture:
    border = max(1, round(width * shop.density))
    rows, columns = picture.shape[:2]
    frame = wood(shop, columns / shop.density, rows / shop.density, (0.10, 0.16, 0.24))
    frame = cv2.resize(frame, (columns, rows))
    frame[border:-border, border:-border] = picture[border:-border, border:-border]
    return frame


def books(shop: Workshop, width: float, height: float) -> Picture:
    """Return a row of book spines as high as the picture."""
    picture = shop.shade((0.1, 0.12, 0.14), np.ones(shop.shape(width, height), np.float32))
    rows, columns = picture.shape[:2]
    tone = 1.0 + 0.1 * shop.noise(width, height, (6.0, 1.0))
    left = 0
    while left < columns - 1:
        right = min(columns, left + max(2, round(shop.rng.uniform(0.018, 0.055) * shop.density)))
        colour = shop.colour(shop.rng.uniform(0.2, 0.75), shop.rng.uniform(0.25, 0.85))
        spine = shop.shade(colour, tone[:, left:right] * _round_spine(right - left))
        top = round(shop.rng.uniform(0.0, 0.2) * rows)
        picture[top:, left:right] = spine[top:]
        ink = shop.shade(shop.colour(0.4, 0.95), np.ones((1, right - left), np.float32))
        for share in shop.rng.uniform(0.25, 0.9, shop.rng.integers(1, 4)):
            line = round(share * rows)
            inset = max(1, (right - left) // 5)
            picture[line : line + max(1, rows // 30), left + inset : right - inset] = ink[
                :, inset : right - left - inset
            ]
        left = right
    return picture


def _round_spine(columns: int) -> np.ndarray:
    across = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    return 1.05 - 0.35 * across**4


def rug(shop: Workshop, width: float, height: float) -> Picture:
    """Return a woven rug: a mirrored ornament inside of bands."""
    x, y = shop.grid(width, height)
    ornament = shop.noise(width, height) + 0.6 * np.sin(30 * x) * np.sin(30 * y)
    ornament = ornament + ornament[::-1] + ornament[:, ::-1] + ornament[::-1, ::-1]
    ground = [(0.20, 0.18, 0.52), (0.42, 0.30, 0.16), (0.55, 0.70, 0.80), (0.22, 0.38, 0.60)]
    patch = np.digitize(ornament, [-2.0, 0.3, 2.2])
    tone = 1.0 + 0.14 * shop.noise(width, height) + 0.06 * np.sin(2 * np.pi * y / 0.02)
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    band = np.floor(edge / 0.055).astype(int)
    patch = np.where(band < 4, (band + (np.floor((x + y) / 0.045) % 2).astype(int)) % 4, patch)
    pictures = np.stack([shop.shade(colour, tone) for colour in ground])
    return np.take_along_axis(pictures, patch[None, ..., None], 0)[0]


def door(shop: Workshop, width: float, height: float, colour: Colour) -> Picture:
    """Return a door with four sunk fields and a handle."""
    x, y = shop.grid(width, height)
    brightness = 1.0 + 0.05 * shop.noise(width, height, (8.0, 1.0))
    for left in (0.14, 0.56):
        for top, bottom in ((0.08, 0.46), (0.54, 0.92)):
            inside = np.minimum(
                np.minimum(x / width - left, left + 0.30 - x / width) * width,
                np.minimum(y / height - top, bottom - y / height) * height,
            )
            brightness = brightness - 0.16 * (np.abs(inside - 0.012) < 0.012)
            brightness = brightness + 0.06 * (inside > 0.03)
    handle = (np.abs(x - 0.92 * width) < 0.02) & (np.abs(y - 0.5 * height) < 0.07)
    return np.where(
        handle[..., None], np.array([120, 190, 205], np.uint8), shop.shade(colour, brightness)
    ).astype(np.uint8)


def drawers(shop: Workshop, width: float, height: float, colour: Colour, count: int) -> Picture:
    """Return the front of a chest with ``count`` drawers and their knobs."""
    x, y = shop.grid(width, height)
    picture = wood(shop, width, height, colour)
    share = (y / height * count) % 1.0
    gap = np.minimum(share, 1 - share) * height / count
    side = np.minimum(x, width - x)
    dark = 1.0 - 0.6 * ((gap < 0.006) | (side < 0.006))[..., None]
    picture = (picture * dark).astype(np.uint8)
    for row in range(count):
        for place in (0.25, 0.75):
            centre = (place * width * shop.density, (row + 0.5) / count * height * shop.density)
            _disc(picture, centre, 0.018 * shop.density, (70, 120, 140))
            _disc(picture, centre, 0.010 * shop.density, (170, 210, 225))
    return picture


def garden(shop: Workshop, width: float, height: float) -> Picture:
    """Return the view from a window, with its bars: clouds, trees, a lawn."""
    x, y = shop.grid(width, height)
    down = y / height
    clouds = np.clip(0.4 + 0.5 * shop.noise(width, height, (1.0, 2.0)), 0, 1)
    sky = shop.shade((1.0, 0.94, 0.84), 0.8 + 0.25 * clouds - 0.1 * down)
    leaf = shop.noise(width, height)
    trees = shop.shade((0.36, 0.62, 0.48), np.clip(0.9 + 0.22 * leaf, 0.45, 1.5))
    crown = 0.52 + 0.12 * shop.noise(width, height)[:1] + 0.04 * leaf
    picture = np.where((down > crown)[..., None], trees, sky)
    lawn = shop.shade((0.40, 0.74, 0.58), 0.95 + 0.12 * shop.noise(width, height, (1.0, 4.0)))
    picture = np.where((down > 0.82 + 0.02 * leaf)[..., None], lawn, picture)
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    bars = (edge < 0.05) | (np.abs(x - 0.5 * width) < 0.022) | (np.abs(y - 0.38 * height) < 0.018)
    return np.where(bars[..., None], shop.shade((0.88, 0.9, 0.9), 1 + 0.03 * leaf), picture)
