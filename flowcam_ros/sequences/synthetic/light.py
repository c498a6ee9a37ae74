# SPDX-License-Identifier: Apache-2.0
"""Light, worked into the pictures of all surfaces once: matt shading, soft shadows, dark corners.

As nothing in it shines, a surface looks alike from everywhere: what the pictures of a camera show
moves exactly as the surfaces do.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from flowcam_ros.sequences.synthetic.surfaces import Ball, Block, Body, Panel, Vector

# Distance of the places where the light is worked out, metres.
_SPACING = 0.16
# Blocks farther away than this do not darken a corner.
_CORNER = 1.1
_DIRECTIONS = 24
_GAMMA = 2.2
_LIFT = 2e-3


@dataclass(frozen=True)
class Lamp:
    """A rectangle that gives light to one side: ``across`` and ``down`` span it (metres)."""

    centre: Vector
    across: Vector
    down: Vector
    colour: Vector


@dataclass(frozen=True)
class Lighting:
    """All lamps, everything that casts shadow, and the light that comes from everywhere.

    ``low`` and ``high`` are the corners of the room, whose walls darken each other's edges.
    """

    lamps: list[Lamp]
    blocks: list[Block]
    ambient: Vector
    low: Vector
    high: Vector

    def light(
        self, points: Float[np.ndarray, 'n 3'], normals: Float[np.ndarray, 'n 3']
    ) -> Float[np.ndarray, 'n 3']:
        """Return the (blue, green, red) light that falls on a surface; 1 is full."""
        points = points + _LIFT * normals
        total = self.ambient * self._openness(points, normals)[:, None]
        for lamp in self.lamps:
            total = total + lamp.colour * self._from_lamp(lamp, points, normals)[:, None]
        return total

    def _from_lamp(self, lamp: Lamp, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        shine = np.cross(lamp.across, lamp.down)
        area = np.linalg.norm(shine)
        total = np.zeros(len(points))
        for u, v in ((-0.3, -0.25), (0.3, -0.1), (-0.15, 0.3), (0.25, 0.35)):
            way = lamp.centre + u * lamp.across + v * lamp.down - points
            square = (way * way).sum(1)
            falls = (way * normals).sum(1).clip(0) * -(way @ shine / area).clip(None, 0)
            lit = np.flatnonzero(falls > 0)
            seen = ~_blocked(self.blocks, points[lit], way[lit])
            total[lit] += 0.25 * area * falls[lit] / square[lit] ** 2 * seen
        return total

    def _openness(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Return which share of the directions above a surface is free of near things."""
        share = np.zeros(len(points))
        for direction in _sphere(_DIRECTIONS):
            way = direction + normals
            way *= _CORNER / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
            end = points + way
            outside = ((end < self.low) | (end > self.high)).any(1)
            hit = _blocked(self.blocks, points, way)
            share += np.where(hit, 0.0, np.where(outside, 0.55, 1.0))
        return share / _DIRECTIONS


def _sphere(count: int) -> Float[np.ndarray, 'n 3']:
    """Return evenly spread unit vectors."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    around = np.pi * (1.0 + 5.0**0.5) * k
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(around), ring * np.sin(around), z], axis=-1)


def _blocked(
    blocks: list[Block], points: Float[np.ndarray, 'n 3'], way: Float[np.ndarray, 'n 3']
) -> Bool[np.ndarray, ' n']:
    """Return whether a block lies between each point and the point ``way`` from it."""
    blocked = np.zeros(len(points), bool)
    low, high = (
        np.minimum(points, points + way).T.copy(),
        np.maximum(points, points + way).T.copy(),
    )
    for block in blocks:
        reach = np.abs(block.axes).T @ block.half
        near = ~blocked
        for axis in range(3):
            near &= low[axis] < block.centre[axis] + reach[axis]
            near &= high[axis] > block.centre[axis] - reach[axis]
        index = np.flatnonzero(near)
        if len(index):
            blocked[index] = _crosses(block, points[index], way[index])
    return blocked


def _crosses(block: Block, points: np.ndarray, way: np.ndarray) -> np.ndarray:
    start = ((points - block.centre) @ block.axes.T).T
    along = (way @ block.axes.T).T
    along = np.where(np.abs(along) < 1e-12, 1e-12, along)
    half = block.half[:, None]
    first, second = (-half - start) / along, (half - start) / along
    enters, leaves = np.minimum(first, second).max(0), np.maximum(first, second).min(0)
    # A place inside of a block is hidden; shadow there would only bleed out at its edges.
    return (enters < leaves) & (enters > 0) & (enters < 1)


def illuminate(body: Body, lighting: Lighting) -> None:
    """Work the light into the pictures of a body that stands where it is defined."""
    spots = [_panel_spots(panel) for panel in body.panels]
    spots += [_ball_spots(ball) for ball in body.balls]
    light = lighting.light(
        np.concatenate([points.reshape(-1, 3) for points, _ in spots]),
        np.concatenate([normals.reshape(-1, 3) for _, normals in spots]),
    )
    ends = np.cumsum([points.shape[0] * points.shape[1] for points, _ in spots])
    pieces = [
        piece.reshape(points.shape)
        for piece, (points, _) in zip(np.split(light, ends[:-1]), spots, strict=True)
    ]
    count = len(body.panels)
    body.panels = [
        dataclasses.replace(panel, picture=_lit(panel.picture, piece + panel.glow))
        for panel, piece in zip(body.panels, pieces[:count], strict=True)
    ]
    body.balls = [
        dataclasses.replace(ball, picture=_lit(ball.picture, piece + ball.glow))
        for ball, piece in zip(body.balls, pieces[count:], strict=True)
    ]


def _lit(
    picture: UInt8[np.ndarray, 'h w 3'], light: Float[np.ndarray, 'rows columns 3']
) -> UInt8[np.ndarray, 'h w 3']:
    rows, columns = picture.shape[:2]
    shade: np.ndarray = (np.clip(light, 0, 4) ** (1 / _GAMMA)).astype(np.float32)
    shade = cv2.resize(shade, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.clip(picture * shade + 0.5, 0, 255).astype(np.uint8)


def _panel_spots(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return places (rows, columns, 3) evenly over a panel, and the normal at each."""
    columns, rows = (
        max(2, round(float(np.linalg.norm(side)) / _SPACING))
        for side in (panel.across, panel.down)
    )
    u = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    v = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    points = panel.corner + u * panel.across + v * panel.down
    return points, np.broadcast_to(panel.normal, points.shape)


def _ball_spots(ball: Ball) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = 24, 12
    longitude = ((np.arange(columns) + 0.5) / columns * 2 - 1)[None, :] * np.pi
    colatitude = ((np.arange(rows) + 0.5) / rows)[:, None] * np.pi
    normals = np.stack(
        [
            np.sin(colatitude) * np.cos(longitude),
            np.sin(colatitude) * np.sin(longitude),
            np.cos(colatitude) + 0 * longitude,
        ],
        axis=-1,
    )
    return ball.centre + ball.radius * normals, normals
