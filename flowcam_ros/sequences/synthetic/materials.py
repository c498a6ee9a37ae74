# SPDX-License-Identifier: Apache-2.0
"""What surfaces are made of: pictures of plaster, wood, brick, tiles, cloth, metal and leaves.

Colours are (blue, green, red) from 0 to 1; sizes are metres, width first.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.sequences.synthetic.noise import NoiseStore

Colour = tuple[float, float, float]
Picture = UInt8[np.ndarray, 'h w 3']
# A part of a picture, beside it in one signature.
Piece = UInt8[np.ndarray, 'piece_h piece_w 3']

OAK: Colour = (0.36, 0.53, 0.70)
WALNUT: Colour = (0.20, 0.31, 0.44)
PINE: Colour = (0.52, 0.70, 0.84)
CREAM: Colour = (0.76, 0.84, 0.88)
WHITE: Colour = (0.90, 0.91, 0.92)
BRICK: Colour = (0.28, 0.36, 0.62)
STEEL: Colour = (0.62, 0.60, 0.58)

WALL_PAINTS: tuple[Colour, ...] = (
    (0.74, 0.80, 0.76),
    (0.80, 0.84, 0.86),
    (0.78, 0.74, 0.68),
    (0.66, 0.76, 0.84),
    (0.72, 0.72, 0.80),
    (0.62, 0.70, 0.68),
)
FURNITURE_PAINTS: tuple[Colour, ...] = (
    (0.50, 0.44, 0.34),
    (0.40, 0.50, 0.42),
    (0.74, 0.78, 0.78),
    (0.30, 0.42, 0.56),
    (0.36, 0.34, 0.40),
    OAK,
    WALNUT,
    PINE,
)
FABRICS: tuple[Colour, ...] = (
    (0.52, 0.40, 0.28),
    (0.28, 0.36, 0.60),
    (0.40, 0.52, 0.44),
    (0.34, 0.58, 0.72),
    (0.44, 0.46, 0.50),
    (0.60, 0.66, 0.72),
)


class Workshop:
    """Makes pictures of one texel size from one stream of random numbers.

    Attributes:
        rng: the stream.
        density: texels per metre.
    """

    def __init__(self, rng: np.random.Generator, density: float) -> None:
        self.rng = rng
        self.density = density
        self._noise = NoiseStore(rng)

    def shape(self, width: float, height: float) -> tuple[int, int]:
        """Return rows and columns of a picture of that size."""
        return max(2, round(height * self.density)), max(2, round(width * self.density))

    def noise(
        self, width: float, height: float, stretch: tuple[float, float] = (1.0, 1.0)
    ) -> Float[np.ndarray, 'h w']:
        """Return natural noise; ``stretch`` (down, across) draws the structure out."""
        return self._noise.cut(*self.shape(width, height), stretch)

    def grid(self, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
        """Return x (1, w) and y (h, 1) of the texels in metres."""
        rows, columns = self.shape(width, height)
        x = (np.arange(columns, dtype=np.float32) + 0.5) * (width / columns)
        y = (np.arange(rows, dtype=np.float32) + 0.5) * (height / rows)
        return x[None, :], y[:, None]

    def shade(self, colour: Colour, brightness: Float[np.ndarray, 'h w']) -> Picture:
        """Return ``colour`` at each brightness (1 as it is); its hue wanders a little."""
        picture = np.empty((*brightness.shape, 3), np.uint8)
        for channel, (value, wander) in enumerate(zip(colour, (0.92, 1.0, 1.06), strict=True)):
            tone = 255.0 * value * (1.0 + wander * (brightness - 1.0))
            picture[..., channel] = np.clip(tone, 0, 255)
        return picture

    def pick(self, palette: tuple[Colour, ...]) -> Colour:
        """Return one of the colours, a little changed."""
        blue, green, red = palette[self.rng.integers(len(palette))]
        change = self.rng.uniform(0.93, 1.07, 3)
        return blue * change[0], green * change[1], red * change[2]

    def colour(self, saturation: float = 0.5, value: float = 0.7) -> Colour:
        """Return a random colour of that strength."""
        hue = self.rng.random() * 6.0
        rgb = [
            value * (1 - saturation * np.clip(2 - abs((hue + shift) % 6 - 3), 0, 1))
            for shift in (0, 4, 2)
        ]
        return rgb[2], rgb[1], rgb[0]


def plaster(
    shop: Workshop, width: float, height: float, colour: Colour = CREAM, rough: float = 0.035
) -> Picture:
    """Return a painted wall with stains of all sizes."""
    return shop.shade(colour, 1.0 + rough * shop.noise(width, height))


def blank(shop: Workshop, width: float, height: float, colour: Colour = WHITE) -> Picture:
    """Return a wall with no texture at all."""
    return shop.shade(colour, np.ones(shop.shape(width, height), np.float32))


def wood(
    shop: Workshop, width: float, height: float, colour: Colour = OAK, *, upright: bool = False
) -> Picture:
    """Return one piece of wood whose grain runs across, or down if ``upright``."""
    return shop.shade(colour, 1.0 + _grain(shop, width, height, upright))


def _grain(shop: Workshop, width: float, height: float, upright: bool) -> np.ndarray:
    long, short = (14.0, 1.2), (3.0, 1.0)
    stretch, bend = (long, short) if upright else (long[::-1], short[::-1])
    rings = np.sin(9.0 * shop.noise(width, height, stretch))
    return (
        0.11 * shop.noise(width, height, stretch)
        + 0.05 * rings
        + 0.04 * shop.noise(width, height, bend)
    )


def planks(
    shop: Workshop,
    width: float,
    height: float,
    colour: Colour = OAK,
    board: tuple[float, float] = (1.3, 0.14),
) -> Picture:
    """Return boards laid across, each of its own shade."""
    cell, edge = _cells(shop, width, height, board, shift=0.37)
    tone = shop.rng.normal(1.0, 0.11, 4096).astype(np.float32)[cell % 4096]
    drift = shop.rng.integers(0, 4096, 4096)[cell % 4096] / 4096.0
    brightness = tone + _grain(shop, width, height, False) + 0.03 * np.sin(40.0 * drift)
    return shop.shade(colour, brightness * _joint(edge, 0.004, 0.35))


def bricks(shop: Workshop, width: float, height: float, colour: Colour = BRICK) -> Picture:
    """Return a wall of bricks in running bond with light mortar."""
    cell, edge = _cells(shop, width, height, (0.25, 0.083), shift=0.5)
    tone = shop.rng.normal(1.0, 0.15, 4096).astype(np.float32)[cell % 4096]
    rough = shop.noise(width, height)
    brick = shop.shade(colour, tone + 0.12 * rough + 0.07 * shop.noise(width, height))
    mortar = shop.shade((0.60, 0.65, 0.68), 0.95 + 0.08 * rough)
    share = np.clip((edge + 0.001 * shop.noise(width, height) - 0.005) / 0.004, 0, 1)[..., None]
    return (share * brick + (1 - share) * mortar).astype(np.uint8)


def tiles(
    shop: Workshop,
    width: float,
    height: float,
    colour: Colour = WHITE,
    other: Colour | None = None,
    side: float = 0.2,
) -> Picture:
    """Return square tiles, chequered if there is an ``other`` colour."""
    cell, edge = _cells(shop, width, height, (side, side), shift=0.0)
    tone = shop.rng.normal(1.0, 0.045, 4096).astype(np.float32)[cell % 4096]
    brightness = (tone + 0.05 * shop.noise(width, height)) * _joint(edge, 0.005, 0.6)
    first = shop.shade(colour, brightness)
    if other is None:
        return first
    x, y = shop.grid(width, height)
    odd = ((np.floor(x / side) + np.floor(y / side)) % 2 > 0)[..., None]
    return np.where(odd, shop.shade(other, brightness), first)


def cloth(
    shop: Workshop, width: float, height: float, colour: Colour, stripe: float = 0.0
) -> Picture:
    """Return a fabric with folds and a weave; striped where ``stripe`` (metres) is not 0."""
    x, y = shop.grid(width, height)
    weave = 0.035 * np.sin(2 * np.pi * x / 0.021) * np.sin(2 * np.pi * y / 0.021)
    brightness = 1.0 + 0.16 * shop.noise(width, height, (2.0, 1.0)) + weave
    if stripe:
        brightness = brightness - 0.28 * (np.floor(x / stripe) % 2)
    return shop.shade(colour, brightness)


def metal(shop: Workshop, width: float, height: float, colour: Colour = STEEL) -> Picture:
    """Return brushed metal with scratches and a few rust marks."""
    brushed = 0.06 * shop.noise(width, height, (1.0, 18.0))
    stain = np.clip(shop.noise(width, height) - 1.2, 0, 1)
    return shop.shade(colour, 1.0 + brushed + 0.05 * shop.noise(width, height) - 0.25 * stain)


def leaves(shop: Workshop, width: float, height: float) -> Picture:
    """Return dense foliage: bright leaves over dark gaps."""
    veil = np.tanh(1.6 * shop.noise(width, height)) + 0.5 * np.sin(7.0 * shop.noise(width, height))
    return shop.shade((0.20, 0.47, 0.28), np.clip(0.95 + 0.4 * veil, 0.3, 1.9))


def globe(shop: Workshop, width: float, height: float) -> Picture:
    """Return a map of a planet with seas, land and ice."""
    relief = shop.noise(width, height) + 0.2 * shop.noise(width, height)
    relief = relief - np.median(relief)
    _, y = shop.grid(width, height)
    cold = np.abs(2.0 * y / height - 1.0) + 0.05 * relief
    sea = shop.shade((0.62, 0.44, 0.22), np.clip(1.0 + 0.2 * relief, 0.6, 1.2))
    land = shop.shade((0.36, 0.60, 0.66), np.clip(0.8 + 0.25 * relief, 0.6, 1.4))
    picture = np.where((relief > 0.15)[..., None], land, sea)
    return np.where((cold > 0.85)[..., None], shop.shade(WHITE, 0.95 + 0.05 * relief), picture)


def joined_round(picture: Picture, share: float = 0.1) -> Picture:
    """Return the picture with its left and right edges faded into one another.

    Both edges become alike, so that there is no seam where they meet on a ball.
    """
    columns = max(1, round(share * picture.shape[1]))
    own = np.linspace(0.5, 1.0, columns, dtype=np.float32)[None, :, None]
    left, right = picture[:, :columns].copy(), picture[:, : -columns - 1 : -1].copy()
    joined = picture.copy()
    joined[:, :columns] = own * left + (1 - own) * right
    joined[:, : -columns - 1 : -1] = own * right + (1 - own) * left
    return joined


def _cells(
    shop: Workshop, width: float, height: float, size: tuple[float, float], shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each texel's cell and its distance from the cell's edge, metres.

    Each row of cells is moved by ``shift`` of a cell against the one above it.
    """
    x, y = shop.grid(width, height)
    row = np.floor(y / size[1])
    across = x / size[0] + shift * row
    column = np.floor(across)
    from_side = (0.5 - np.abs(across - column - 0.5)) * size[0]
    from_top = (0.5 - np.abs(y / size[1] - row - 0.5)) * size[1]
    number = (row * 131 + column * 17 + 1009).astype(np.int64)
    return number, np.minimum(from_side, from_top).astype(np.float32)


def _joint(edge: np.ndarray, width: float, darkness: float) -> np.ndarray:
    return 1.0 - darkness * np.clip(1.5 - edge / width, 0, 1)
