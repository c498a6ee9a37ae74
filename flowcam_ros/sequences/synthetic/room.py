# SPDX-License-Identifier: Apache-2.0
"""The room the synthetic camera walks through, furnished differently for each seed."""

from __future__ import annotations

import numpy as np

from flowcam_ros.sequences.synthetic import furniture as fur
from flowcam_ros.sequences.synthetic import materials as mat
from flowcam_ros.sequences.synthetic import pictures as pic
from flowcam_ros.sequences.synthetic.furniture import Carpenter
from flowcam_ros.sequences.synthetic.light import Lamp, Lighting, illuminate
from flowcam_ros.sequences.synthetic.materials import Picture, Piece, Workshop
from flowcam_ros.sequences.synthetic.paths import object_path
from flowcam_ros.sequences.synthetic.scene import Scene
from flowcam_ros.sequences.synthetic.surfaces import Body, Panel

# Half the length (east) and width (north) of the room, and its height, metres.
HALF_LENGTH, HALF_WIDTH, HEIGHT = 4.5, 3.5, 2.9
# The middle of the southern wall is blank up to here, for the trajectory `textureless`.
BLANK_HALF = 2.2
# Texels per metre that a focal length asks for, one per pixel at two metres, within reason.
_TEXEL_DISTANCE = 2.0
_DENSITY_RANGE = (40.0, 330.0)
# Where the lamps are in the ceiling.
_LAMPS = ((-2.4, 0.3), (0.3, -1.1), (2.6, 0.5))


class World:
    """A furnished room and the things that move in it.

    Attributes:
        scene: all surfaces, light worked into their pictures; body 0 is the room.
    """

    def __init__(
        self, seed: int, moving_objects: int, focal_length: float, object_size: float = 1.0
    ) -> None:
        density = float(np.clip(focal_length / _TEXEL_DISTANCE, *_DENSITY_RANGE))
        shop = Workshop(np.random.default_rng([seed, 1]), density)
        room = furnished_room(shop)
        lighting = _lighting(room)
        illuminate(room, lighting)
        bodies = [room]
        for number in range(moving_objects):
            body = Body(object_path(number))
            workshop = Workshop(np.random.default_rng([seed, 2, number]), density)
            fur.cart(Carpenter(workshop, body, 0, 0), object_size)
            illuminate(body, _lighting(body))
            bodies.append(body)
        self.scene = Scene(bodies)
        self._paths = [body.path for body in bodies]

    def world_from_bodies(self, time: float) -> np.ndarray:
        """Return (bodies, 4, 4) the poses of the bodies at ``time`` seconds."""
        return np.stack([np.eye(4) if path is None else path(time) for path in self._paths])


def _lighting(body: Body) -> Lighting:
    """Return three warm lamps in the ceiling and daylight from the window."""
    lamps = [
        Lamp(
            np.array([x, y, HEIGHT - 0.05]),
            np.array([1.2, 0, 0]),
            np.array([0, -0.5, 0]),
            np.array([2.3, 2.6, 2.8]),
        )
        for x, y in _LAMPS
    ]
    window = Lamp(
        np.array([-0.6, HALF_WIDTH - 0.06, 1.6]),
        np.array([1.7, 0, 0]),
        np.array([0, 0, -1.35]),
        np.array([2.4, 2.1, 1.9]),
    )
    corner = np.array([HALF_LENGTH, HALF_WIDTH, HEIGHT])
    low = np.array([-HALF_LENGTH, -HALF_WIDTH, 0.0])
    return Lighting([*lamps, window], body.blocks, np.array([0.66, 0.63, 0.61]), low, corner)


def furnished_room(shop: Workshop) -> Body:
    """Return the room with all that stands and hangs in it, before light."""
    body = Body()
    for part in (_floor_and_ceiling, _walls, _trim, _north, _east, _south, _west, _middle):
        part(shop, body)
    return body


def _floor_and_ceiling(shop: Workshop, body: Body) -> None:
    x, y, z = HALF_LENGTH, HALF_WIDTH, HEIGHT
    ceiling = mat.plaster(shop, 2 * x, 2 * y, mat.WHITE, 0.02)
    _panel(body, (-x, -y, z), (2 * x, 0, 0), (0, 2 * y, 0), ceiling)
    floor = mat.planks(shop, 2 * x, 2 * y, mat.OAK)
    _paste(shop, floor, pic.rug(shop, 3.0, 2.1), x - 1.5, y - 1.25)
    _panel(body, (-x, y, 0), (2 * x, 0, 0), (0, -2 * y, 0), floor)


def _walls(shop: Workshop, body: Body) -> None:
    x, y, z = HALF_LENGTH, HALF_WIDTH, HEIGHT
    down = (0, 0, -z)
    north = mat.plaster(shop, 2 * x, z, shop.pick(mat.WALL_PAINTS))
    _panel(body, (-x, y, z), (2 * x, 0, 0), down, north)
    _panel(body, (x, y, z), (0, -2 * y, 0), down, mat.bricks(shop, 2 * y, z))
    west = mat.plaster(shop, 2 * y, z, shop.pick(mat.WALL_PAINTS), 0.05)
    _paste(shop, west, mat.tiles(shop, 2 * y, 1.1, shop.pick(mat.WALL_PAINTS)), 0.0, z - 1.1)
    _panel(body, (-x, -y, z), (0, 2 * y, 0), down, west)
    side, middle = x - BLANK_HALF, 2 * BLANK_HALF
    stones = mat.bricks(shop, side, z, (0.55, 0.62, 0.68))
    _panel(body, (x, -y, z), (-side, 0, 0), down, stones)
    _panel(body, (BLANK_HALF, -y, z), (-middle, 0, 0), down, mat.blank(shop, middle, z))
    stripes = mat.cloth(shop, side, z, shop.pick(mat.WALL_PAINTS), 0.14)
    _panel(body, (-BLANK_HALF, -y, z), (-side, 0, 0), down, stripes)


def _trim(shop: Workshop, body: Body) -> None:
    """Put up the lamps and nail the skirting boards to the walls."""
    x, y = HALF_LENGTH, HALF_WIDTH
    for lamp_x, lamp_y in _LAMPS:
        c = Carpenter(shop, body, lamp_x, lamp_y)
        glass = c.of(mat.blank, (0.98, 1.0, 1.0))
        faces = (*fur.AT_WALL, 'back')
        c.box((0, 0, HEIGHT - 0.04), (1.2, 0.5, 0.04), glass, faces, glow=1.0)
    for wall_x, wall_y, turn, length in (
        (0, y, 0, x),
        (x, 0, -90, y),
        (0, -y, 180, x),
        (-x, 0, 90, y),
    ):
        c = Carpenter(shop, body, wall_x, wall_y, turn)
        c.box((0, -0.01, 0), (2 * length, 0.02, 0.09), c.of_wood(mat.WHITE), ('front', 'top'))


def _panel(
    body: Body,
    corner: tuple[float, float, float],
    across: tuple[float, float, float],
    down: tuple[float, float, float],
    picture: Picture,
) -> None:
    body.panels.append(Panel(np.array(corner), np.array(across), np.array(down), picture))


def _paste(shop: Workshop, picture: Picture, piece: Piece, left: float, top: float) -> None:
    """Put a piece into a picture, its corner at ``left`` and ``top`` metres."""
    row, column = round(top * shop.density), round(left * shop.density)
    target = picture[row : row + piece.shape[0], column : column + piece.shape[1]]
    target[:] = piece[: target.shape[0], : target.shape[1]]


def _near(shop: Workshop, value: float, spread: float = 0.08) -> float:
    return value + float(shop.rng.uniform(-spread, spread))


def _north(shop: Workshop, body: Body) -> None:
    wall = HALF_WIDTH

    def at(x: float) -> Carpenter:
        return Carpenter(shop, body, x, wall)

    fur.bookcase(at(_near(shop, -3.1)), 1.7, 2.15, 5, mat.WALNUT)
    fur.window(at(-0.6), 0.92, (1.7, 1.35))
    fur.chest(at(_near(shop, 1.75)), 1.3, 0.86, 3, shop.pick(mat.FURNITURE_PAINTS))
    lamp = Carpenter(shop, body, 1.35, wall - 0.24)
    lamp.box((0.5, 0, 0.86), (0.3, 0.2, 0.26), lamp.of(pic.books))
    lamp.ball((0, 0, 0.86 + 0.15), 0.15, lamp.chequered(shop.colour(0.6, 0.8)))
    fur.picture(at(_near(shop, 1.8)), 1.65, (1.15, 0.8), pic.landscape)
    fur.bookcase(at(_near(shop, 3.55)), 1.2, 1.75, 4, mat.OAK)


def _east(shop: Workshop, body: Body) -> None:
    wall = HALF_LENGTH

    def at(y: float) -> Carpenter:
        return Carpenter(shop, body, wall, y, -90)

    fur.sofa(at(_near(shop, 0.45)), 2.1, shop.pick(mat.FABRICS))
    fur.picture(at(_near(shop, 1.25)), 1.7, (0.7, 1.0), pic.poster)
    fur.picture(at(_near(shop, 0.1)), 1.75, (1.1, 0.75), pic.abstract)
    fur.picture(at(_near(shop, -1.35)), 1.6, (0.85, 1.2), pic.poster)
    fur.floor_lamp(Carpenter(shop, body, wall - 0.35, 1.95))
    side = Carpenter(shop, body, wall - 0.4, -0.98, 15)
    fur.table(side, 0.4, 0.4, 0.5, mat.WALNUT)
    side.box((0, 0, 0.5), (0.3, 0.22, 0.09), side.of(pic.books))
    fur.plant(Carpenter(shop, body, wall - 0.5, -2.75, 15), 0.95)


def _south(shop: Workshop, body: Body) -> None:
    def at(x: float) -> Carpenter:
        return Carpenter(shop, body, x, -HALF_WIDTH, 180)

    fur.picture(at(_near(shop, 3.3)), 1.6, (1.2, 0.9), pic.abstract)
    fur.chest(at(_near(shop, 3.1, 0.03)), 1.1, 0.7, 2, mat.OAK)
    fur.picture(at(_near(shop, -2.95, 0.04)), 1.65, (0.75, 1.05), pic.poster)
    fur.picture(at(_near(shop, -3.9, 0.04)), 1.55, (0.6, 0.8), pic.landscape)
    stack = Carpenter(shop, body, -3.35, -3.0, 8)
    fur.crate(stack, 0.0, 0.62)


def _west(shop: Workshop, body: Body) -> None:
    wall = -HALF_LENGTH

    def at(y: float) -> Carpenter:
        return Carpenter(shop, body, wall, y, 90)

    frame = at(-2.0)
    frame.box(
        (0, -0.02, 0),
        (0.98, 0.04, 2.08),
        frame.of(pic.door, shop.pick(mat.FURNITURE_PAINTS)),
        fur.AT_WALL,
    )
    fur.chest(at(_near(shop, 1.75)), 1.5, 1.15, 4, shop.pick(mat.FURNITURE_PAINTS))
    top = Carpenter(shop, body, wall + 0.25, 1.75, 90)
    top.ball((0.3, 0, 1.15 + 0.2), 0.2, top.around(mat.globe))
    top.box((-0.3, 0, 1.15), (0.45, 0.2, 0.3), top.of(pic.books))
    fur.picture(at(_near(shop, 0.1)), 1.75, (1.3, 0.85), pic.landscape)
    for y, bottom, side, turn in (
        (-0.45, 0.0, 0.6, 80),
        (0.3, 0.0, 0.5, 100),
        (-0.38, 0.48, 0.45, 65),
    ):
        fur.crate(Carpenter(shop, body, wall + 0.45, y, turn), bottom, side)
    fur.plant(Carpenter(shop, body, wall + 0.45, 3.0 - 0.35, 30), 0.8)


def _middle(shop: Workshop, body: Body) -> None:
    c = Carpenter(shop, body, 0.0, 0.2, _near(shop, 12.0, 10.0))
    fur.table(c, 1.3, 0.75, 0.44, shop.pick(mat.FURNITURE_PAINTS))
    c.box((-0.38, 0.08, 0.44), (0.34, 0.25, 0.13), c.of(pic.books))
    c.box((-0.36, 0.09, 0.57), (0.27, 0.2, 0.05), c.of(pic.poster))
    c.ball((0.33, 0.05, 0.44 + 0.19), 0.19, c.around(mat.globe))
    c.box(
        (0.02, -0.2, 0.44),
        (0.24, 0.17, 0.2),
        c.of(mat.tiles, shop.colour(0.6, 0.7), mat.CREAM, 0.06),
    )
    fur.chair(
        Carpenter(shop, body, -1.05, 0.75, _near(shop, 60, 15)), mat.OAK, shop.pick(mat.FABRICS)
    )
    fur.chair(
        Carpenter(shop, body, 0.95, 0.95, _near(shop, -40, 15)), mat.WALNUT, shop.pick(mat.FABRICS)
    )
    hanging = Carpenter(shop, body, 0.0, 0.2)
    hanging.ball((0, 0, 2.3), 0.2, hanging.around(mat.cloth, (0.75, 0.9, 0.96)), glow=0.9)
    hanging.box((0, 0, 2.5), (0.012, 0.012, HEIGHT - 2.5), hanging.of(mat.metal), fur.STANDING[:4])
    pillar = Carpenter(shop, body, 3.75, -1.7, 25)
    pillar.box(
        (0, 0, 0),
        (0.34, 0.34, HEIGHT),
        pillar.of(mat.tiles, shop.pick(mat.WALL_PAINTS), None, 0.34),
        fur.STANDING[:4],
    )
