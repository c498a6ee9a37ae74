# SPDX-License-Identifier: Apache-2.0
"""Furniture, built of boxes and balls where it is to stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flowcam_ros.sequences.synthetic import materials as mat
from flowcam_ros.sequences.synthetic import pictures as pic
from flowcam_ros.sequences.synthetic.materials import Colour, Picture, Workshop
from flowcam_ros.sequences.synthetic.surfaces import Ball, Block, Body, Panel

# Gives the picture of a face ('front', 'back', 'left', 'right', 'top', 'bottom') of that size.
Skin = Callable[[str, float, float], Picture]
_ALL = ('front', 'back', 'left', 'right', 'top', 'bottom')
# Upright things on the floor or at a wall: nobody sees these faces.
STANDING = ('front', 'back', 'left', 'right', 'top')
AT_WALL = ('front', 'left', 'right', 'top', 'bottom')


class Carpenter:
    """Builds boxes and balls into a body, in coordinates of one place in the room.

    The place lies at (x, y) and is turned by ``turn`` degrees; its own axes are x to the right, y
    to the back and z up, so that fronts look along -y.
    """

    def __init__(self, shop: Workshop, body: Body, x: float, y: float, turn: float = 0.0) -> None:
        self.shop = shop
        self._body = body
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        self._axes = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        self._place = np.array([x, y, 0.0])

    def box(
        self,
        at: tuple[float, float, float],
        size: tuple[float, float, float],
        skin: Skin,
        faces: tuple[str, ...] = _ALL,
        glow: float = 0.0,
    ) -> None:
        """Add a box; ``at`` is the middle of its underside, ``size`` its width, depth, height."""
        x, y, z = self._axes * np.array(size)[:, None]
        middle = self._place + np.array(at) @ self._axes + 0.5 * z
        self._body.blocks.append(Block(middle, 0.5 * np.array(size), self._axes))
        sides = {
            'front': (-x - y + z, x, -z),
            'right': (x - y + z, y, -z),
            'back': (x + y + z, -x, -z),
            'left': (-x + y + z, -y, -z),
            'top': (-x + y + z, x, -y),
            'bottom': (-x - y - z, x, y),
        }
        for name in faces:
            corner, across, down = sides[name]
            width, height = float(np.linalg.norm(across)), float(np.linalg.norm(down))
            picture = skin(name, width, height)
            self._body.panels.append(Panel(middle + 0.5 * corner, across, down, picture, glow))

    def ball(
        self, at: tuple[float, float, float], radius: float, skin: Skin, glow: float = 0.0
    ) -> None:
        """Add a ball; ``at`` is its centre."""
        centre = self._place + np.array(at) @ self._axes
        picture = skin('ball', 2 * np.pi * radius, np.pi * radius)
        self._body.balls.append(Ball(centre, radius, picture, glow))
        self._body.blocks.append(Block(centre, np.full(3, 0.7 * radius), self._axes))

    def of_wood(self, colour: Colour) -> Skin:
        """Return the skin of a wooden thing: the grain runs along its longer side."""

        def skin(face: str, width: float, height: float) -> Picture:
            return mat.wood(self.shop, width, height, colour, upright=height > width)

        return skin

    def of(self, material: Callable[..., Picture], *details: object) -> Skin:
        """Return a skin that is the same material all round."""
        return lambda face, width, height: material(self.shop, width, height, *details)

    def around(self, material: Callable[..., Picture], *details: object) -> Skin:
        """Return the skin of a ball without a seam."""
        return lambda face, width, height: mat.joined_round(
            material(self.shop, width, height, *details)
        )

    def chequered(self, colour: Colour) -> Skin:
        """Return the skin of a ball with ten fields round its equator."""
        return lambda face, width, height: mat.tiles(
            self.shop, width, height, colour, mat.CREAM, width / 10
        )

    def fronted(self, front: Skin, rest: Skin) -> Skin:
        """Return a skin with another material on the front."""
        return lambda face, width, height: (front if face == 'front' else rest)(
            face, width, height
        )


def table(c: Carpenter, width: float, depth: float, height: float, colour: Colour) -> None:
    """Build a table with four legs."""
    wood = c.of_wood(colour)
    c.box((0, 0, height - 0.045), (width, depth, 0.045), wood)
    for x in (-1, 1):
        for y in (-1, 1):
            at = (x * (0.5 * width - 0.06), y * (0.5 * depth - 0.06), 0.0)
            c.box(at, (0.055, 0.055, height - 0.045), wood, STANDING[:4])


def chair(c: Carpenter, colour: Colour, seat: Colour) -> None:
    """Build a chair that looks to the front."""
    wood = c.of_wood(colour)
    c.box((0, 0, 0.43), (0.44, 0.44, 0.05), c.of(mat.cloth, seat))
    c.box((0, 0.20, 0.62), (0.42, 0.03, 0.30), wood)
    for x in (-0.19, 0.19):
        c.box((x, -0.19, 0.0), (0.04, 0.04, 0.43), wood, STANDING[:4])
        c.box((x, 0.2, 0.0), (0.04, 0.04, 0.95), wood, STANDING)


def bookcase(c: Carpenter, width: float, height: float, shelves: int, colour: Colour) -> None:
    """Build open shelves with rows of books; its back is at y = 0."""
    wood, depth = c.of_wood(colour), 0.30
    c.box((0, -0.01, 0), (width, 0.02, height), wood, ('front',))
    for x in (-1, 1):
        c.box((x * 0.5 * (width - 0.03), -0.5 * depth, 0), (0.03, depth, height), wood, STANDING)
    step = (height - 0.03) / shelves
    for k in range(shelves + 1):
        c.box((0, -0.5 * depth, k * step), (width - 0.06, depth - 0.01, 0.03), wood)
        if k < shelves:
            _books_on_shelf(c, width - 0.08, k * step + 0.03, step - 0.06)


def _books_on_shelf(c: Carpenter, width: float, bottom: float, room: float) -> None:
    rng, left = c.shop.rng, -0.5 * width
    paper = c.of(mat.plaster, mat.CREAM, 0.05)
    while left < 0.5 * width - 0.15:
        run = min(rng.uniform(0.25, 0.6), 0.5 * width - left)
        size = (run, rng.uniform(0.14, 0.22), room * rng.uniform(0.68, 0.97))
        at = (left + 0.5 * run, -0.03 - 0.5 * size[1], bottom)
        c.box(at, size, c.fronted(c.of(pic.books), paper), ('front', 'left', 'right', 'top'))
        left += run + rng.choice([0.0, 0.02, 0.18])


def chest(c: Carpenter, width: float, height: float, rows: int, colour: Colour) -> None:
    """Build a chest of drawers; its back is at y = 0."""
    front = c.of(pic.drawers, colour, rows)
    c.box((0, -0.24, 0.06), (width, 0.44, height - 0.06), c.fronted(front, c.of_wood(colour)))
    for x in (-1, 1):
        c.box(
            (x * (0.5 * width - 0.05), -0.42, 0), (0.05, 0.05, 0.06), c.of_wood(colour), STANDING
        )


def sofa(c: Carpenter, width: float, colour: Colour) -> None:
    """Build a sofa with two cushions; its back is at y = 0."""
    fabric = c.of(mat.cloth, colour)
    c.box((0, -0.45, 0.08), (width, 0.86, 0.32), fabric, STANDING)
    c.box((0, -0.11, 0.40), (width, 0.2, 0.42), fabric, STANDING)
    for x in (-1, 1):
        c.box((x * (0.5 * width - 0.1), -0.5, 0.40), (0.2, 0.76, 0.2), fabric, STANDING)
        cushion = c.of(mat.cloth, c.shop.pick(mat.FABRICS), 0.07)
        c.box((x * 0.27 * width, -0.28, 0.40), (0.46, 0.13, 0.38), cushion, STANDING)


def crate(c: Carpenter, bottom: float, side: float) -> None:
    """Build a box of boards, on the floor or on another."""

    def skin(face: str, width: float, height: float) -> Picture:
        picture = mat.planks(c.shop, width, height, mat.PINE, (2.0, 0.11))
        columns = picture.shape[1]
        edge = max(1, round(0.05 * c.shop.density))
        frame = mat.wood(c.shop, width, height, mat.OAK, upright=True)
        for part in (np.s_[:, :edge], np.s_[:, columns - edge :]):
            picture[part] = frame[part]
        return picture

    c.box((0, 0, bottom), (side, side, 0.8 * side), skin, STANDING)


def plant(c: Carpenter, height: float) -> None:
    """Build a bush of a few balls in a pot."""
    c.box((0, 0, 0), (0.34, 0.34, 0.36), c.of(mat.plaster, (0.32, 0.45, 0.72), 0.09), STANDING)
    rng, green = c.shop.rng, c.around(mat.leaves)
    c.ball((0, 0, 0.36 + 0.33 * height), 0.36 * height, green)
    for _ in range(3):
        x, y = rng.uniform(-0.16, 0.16, 2)
        c.ball((x, y, 0.36 + height * rng.uniform(0.5, 0.85)), 0.23 * height, green)


def picture(
    c: Carpenter, centre: float, size: tuple[float, float], front: Callable[..., Picture]
) -> None:
    """Hang a picture on the wall at y = 0, its middle ``centre`` metres above the floor."""
    skin = c.fronted(c.of(front), c.of_wood(mat.WALNUT))
    c.box((0, -0.015, centre - 0.5 * size[1]), (size[0], 0.03, size[1]), skin, AT_WALL)


def window(c: Carpenter, sill: float, size: tuple[float, float]) -> None:
    """Put a window with a board below into the wall at y = 0."""
    paint = c.of(mat.plaster, mat.WHITE, 0.03)
    view = c.fronted(c.of(pic.garden), paint)
    c.box((0, -0.01, sill), (size[0], 0.02, size[1]), view, AT_WALL, glow=0.75)
    c.box((0, -0.09, sill - 0.05), (size[0] + 0.2, 0.18, 0.04), paint, AT_WALL)
    for x in (-1, 1):
        curtain = c.of(mat.cloth, (0.62, 0.72, 0.80), 0.12)
        at = (x * (0.5 * size[0] + 0.17), -0.06, sill - 0.55)
        c.box(at, (0.36, 0.1, size[1] + 0.75), curtain, AT_WALL)


def floor_lamp(c: Carpenter) -> None:
    """Build a tall lamp with a round shade."""
    c.box((0, 0, 0), (0.3, 0.3, 0.03), c.of(mat.metal), STANDING)
    c.box((0, 0, 0.03), (0.03, 0.03, 1.42), c.of(mat.metal), STANDING[:4])
    c.ball((0, 0, 1.58), 0.17, c.around(mat.cloth, (0.70, 0.86, 0.93)), glow=0.8)


def cart(c: Carpenter, size: float) -> None:
    """Build the thing that crosses the room: a box on wheels with a ball on top."""

    def scaled(x: float, y: float, z: float) -> tuple[float, float, float]:
        return size * x, size * y, size * z

    colour = c.shop.colour(0.6, 0.8)
    skin = c.fronted(c.of(pic.poster), c.of(mat.tiles, colour, mat.WHITE, 0.09))
    c.box(scaled(0, 0, 0.08), scaled(0.62, 0.5, 0.55), skin, STANDING)
    for x in (-0.22, 0.22):
        c.box(scaled(x, 0, 0), scaled(0.12, 0.4, 0.08), c.of(mat.metal), STANDING[:4])
    c.ball(scaled(0.05, 0, 0.63 + 0.2), 0.2 * size, c.chequered(c.shop.colour(0.8, 0.7)))
