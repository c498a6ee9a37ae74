# SPDX-License-Identifier: Apache-2.0
"""From a scene and a pose to a picture with exact depth.

Cells that one panel fills are textured as a whole; in the others each sample looks for the nearest
surface. The copy of a texture is chosen by the size of a sample on the surface; between two copies
the four samples of a pixel take the one or the other in proportion, which blends them. The nine
samples in and around a pixel are then averaged, the outer ones counting half and quarter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from flowcam_ros.sequences.synthetic.lens import CELL, HALF, Lens
from flowcam_ros.sequences.synthetic.scene import SEAM, Scene, SurfacesInView
from flowcam_ros.sequences.synthetic.visibility import Candidates, find_candidates

# At which share between two copies each of a pixel's four samples changes to the coarser one.
_DITHER = np.array([0.125, 0.625, 0.875, 0.375], np.float32)
# A texture seen at a slant may alias up to this factor across before it is blurred along.
_SLANT = 2.0
# How much coarser than its samples a texture is taken: about as soft as a good lens.
_SOFTNESS = 1.25
_NOWHERE = -16.0
_PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
_CENTRE = 3
# The phase of each of a cell's 64 samples.
_PHASE_OF_SAMPLE = (2 * (np.arange(CELL) % 2)[:, None] + np.arange(CELL) % 2).ravel()


@dataclass(frozen=True)
class Raster:
    """One picture of the world, without any flaw of a camera but its lens.

    Attributes:
        image: (height, width, 3) BGR.
        depth: (height, width) float32, z in metres at pixel centres; 0 where there is nothing.
        body: (height, width) uint8, number of the body seen at pixel centres.
    """

    image: UInt8[np.ndarray, 'height width 3']
    depth: Float[np.ndarray, 'height width']
    body: UInt8[np.ndarray, 'height width']


def render(
    scene: Scene, lens: Lens, camera_from_bodies: Float[np.ndarray, 'bodies 4 4']
) -> Raster:
    """Render what the camera sees when the bodies are where they are."""
    view = scene.seen_by(lens, camera_from_bodies)
    candidates = find_candidates(lens, view)
    maps, inverse_depth = _whole_cells(scene, lens, view, candidates)
    surface = np.maximum(candidates.whole, 0).reshape(lens.rows, lens.columns)
    surface = surface.repeat(HALF, axis=0).repeat(HALF, axis=1)
    _mixed_cells(scene, lens, view, candidates, maps, inverse_depth, surface)
    sheet = scene.atlas.sheet
    phases = [cv2.remap(sheet, x, y, cv2.INTER_LINEAR) for x, y in maps]
    height, width = lens.camera.height, lens.camera.width
    w = inverse_depth[:height, :width]
    depth = np.divide(np.float32(1.0), w, out=np.zeros_like(w), where=w > 0)
    body = scene.body[view.surface].astype(np.uint8)[surface[:height, :width]]
    return Raster(_averaged(phases, height, width), depth, body)


Maps = list[tuple[np.ndarray, np.ndarray]]


def _whole_cells(
    scene: Scene, lens: Lens, view: SurfacesInView, candidates: Candidates
) -> tuple[Maps, Float[np.ndarray, 'h w']]:
    """Return the look-up maps of the four phases, and the inverse depth of the last one.

    Scale and offset of a texture's copy go into the linear functions: per sample there remain
    three of these and two divisions. What stands in mixed cells is meaningless as yet.
    """
    number = candidates.whole
    fields = view.fields[number]
    surface = view.surface[number]
    copies = _copies(scene, surface, _panel_detail(scene, lens, surface, fields))
    shape = (lens.rows, 1, lens.columns)
    maps = []
    for phase, (row, column) in enumerate(_PHASES):
        x, y = lens.phase(row, column)
        w = _linear(fields[:, 0], shape, x, y)
        place = []
        for k in (0, 1):
            function = (
                fields[:, 1 + k] * copies[:, phase, k, None]
                + fields[:, 0] * copies[:, phase, 2 + k, None]
            )
            values = _linear(function, shape, x, y)
            values /= w
            place.append(values.reshape(lens.rows * HALF, lens.columns * HALF))
        maps.append((place[0], place[1]))
    return maps, w.reshape(lens.rows * HALF, lens.columns * HALF)


def _linear(
    function: Float[np.ndarray, 'cells 3'],
    shape: tuple[int, int, int],
    x: np.ndarray,
    y: np.ndarray,
) -> Float[np.ndarray, 'rows 4 w']:
    """Return each cell's linear function of the ray at the samples of one phase."""
    fx, fy, f1 = (function[:, i].reshape(shape).repeat(HALF, axis=2) for i in range(3))
    values = np.multiply(fy, y, out=np.empty((shape[0], HALF, fx.shape[2]), np.float32))
    values += f1 + fx * x
    return values


def _panel_detail(
    scene: Scene,
    lens: Lens,
    surface: Int[np.ndarray, 'n *k'],
    fields: Float[np.ndarray, 'n *k 3 3'],
    cells: np.ndarray | slice = slice(None),
) -> Float[np.ndarray, 'n *k']:
    """Return which copy fits best (0 the largest, fractions between) in the middle of cells."""
    boxes = lens.cells[cells]
    spread = (len(boxes.middle),) + (1,) * (surface.ndim - 1)
    x, y = (boxes.middle[:, i].reshape(spread) for i in (0, 1))
    step = (2.0 / CELL) * boxes.half.max(1).reshape(spread)
    w, u, v = (fields[..., i, 0] * x + fields[..., i, 1] * y + fields[..., i, 2] for i in range(3))
    # A plane's horizon may run through a mixed cell: judge by where the panel can be seen.
    most = w + 4.0 * step * (np.abs(fields[..., 0, 0]) + np.abs(fields[..., 0, 1]))
    w = np.maximum(w, np.maximum(0.3 * most, 1e-6))
    scale = scene.atlas.layout[surface, 0, :2] * (step / w)[..., None]
    u, v = np.clip(u / w, 0, 1), np.clip(v / w, 0, 1)
    ux, uy = (scale[..., 0] * (fields[..., 1, i] - u * fields[..., 0, i]) for i in (0, 1))
    vx, vy = (scale[..., 1] * (fields[..., 2, i] - v * fields[..., 0, i]) for i in (0, 1))
    square = ux * ux + uy * uy + vx * vx + vy * vy
    area = np.abs(ux * vy - uy * vx)
    longest = np.sqrt(0.5 * (square + np.sqrt(np.maximum(square * square - 4 * area * area, 0))))
    texels = np.maximum(area / np.maximum(longest, 1e-9), longest / _SLANT)
    return np.log2(np.maximum(_SOFTNESS * texels, 1.0))


def _copies(
    scene: Scene, surface: Int[np.ndarray, '*n'], detail: Float[np.ndarray, '*n']
) -> Float[np.ndarray, '*n 4 4']:
    """Return the layout of the copy of its picture that each of the four phases uses."""
    level = np.floor(detail[..., None] + _DITHER)
    level = np.minimum(level, scene.atlas.last_level[surface][..., None]).astype(np.intp)
    return scene.atlas.layout[surface[..., None], level]


def _mixed_cells(
    scene: Scene,
    lens: Lens,
    view: SurfacesInView,
    candidates: Candidates,
    maps: Maps,
    inverse_depth: Float[np.ndarray, 'h w'],
    surface: Int[np.ndarray, 'h w'],
) -> None:
    """Fill in the cells in which more than one surface may be seen, sample by sample."""
    cells, lists = candidates.mixed, candidates.lists
    if len(cells) == 0:
        return
    rays = lens.samples(cells)
    best = np.zeros((4, len(cells), CELL * CELL), np.float32)  # w, U, V, rank
    for rank in range(lists.shape[1]):
        number = lists[:, rank]
        there = number < len(view.surface) - 1
        for kind, hit in ((view.is_panel, _hit_panels), (~view.is_panel, _hit_balls)):
            index = np.flatnonzero(there & kind[number])
            if len(index):
                _keep_nearer(best, rank, index, hit(view, number[index], rays[index]))
    seen = best[0] > 0
    rank = best[3].astype(np.intp)
    detail = _panel_detail(scene, lens, view.surface[lists], view.fields[lists], cells)
    detail = np.where(view.is_panel[lists], detail, _ball_detail(scene, lens, view, lists))
    copies = _copies(scene, view.surface[lists], detail)
    copy = copies[np.arange(len(cells))[:, None], rank, _PHASE_OF_SAMPLE[None, :]]
    place = best[1:3] / np.where(seen, best[0], 1.0)
    place = place * np.moveaxis(copy[..., :2], -1, 0) + np.moveaxis(copy[..., 2:], -1, 0)
    place[:, ~seen] = _NOWHERE
    number = np.take_along_axis(lists, rank, 1)
    number[~seen] = len(view.surface) - 1
    row, column = np.divmod(cells, lens.columns)
    for phase, (x, y) in enumerate(maps):
        _put(lens, x, row, column, place[0], phase)
        _put(lens, y, row, column, place[1], phase)
    _put(lens, inverse_depth, row, column, best[0], _CENTRE)
    _put(lens, surface, row, column, number, _CENTRE)


def _put(
    lens: Lens,
    image: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    samples: Shaped[np.ndarray, 'n 64'],
    phase: int,
) -> None:
    """Write the samples of one phase into their cells of that phase's image."""
    i, j = _PHASES[phase]
    cells = image.reshape(lens.rows, HALF, lens.columns, HALF)
    cells[row, :, column, :] = samples.reshape(-1, HALF, 2, HALF, 2)[:, :, i, :, j]


def _keep_nearer(
    best: np.ndarray,
    rank: int,
    cells: Int[np.ndarray, ' n'],
    hit: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    nearer = hit[0] > best[0, cells]
    fields: tuple[Any, ...] = (*hit, np.float32(rank))
    for field, values in zip(best, fields, strict=True):
        field[cells] = np.where(nearer, values, field[cells])


def _hit_panels(
    view: SurfacesInView, number: Int[np.ndarray, ' n'], rays: Float[np.ndarray, 'n 3 64']
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return w (0 for a miss), U and V, each (n, 64)."""
    fields = view.fields[number]
    x, y = rays[:, 0], rays[:, 1]
    w, u, v = (
        fields[:, i, 0, None] * x + fields[:, i, 1, None] * y + fields[:, i, 2, None]
        for i in range(3)
    )
    inside = np.minimum(np.minimum(u, w - u), np.minimum(v, w - v)) > -SEAM * w
    return np.where(inside, w, 0.0), u, v


def _hit_balls(
    view: SurfacesInView, number: Int[np.ndarray, ' n'], rays: Float[np.ndarray, 'n 3 64']
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centre, radius = view.ball_centre[number], view.ball_radius[number]
    square = (rays * rays).sum(1)
    along = (centre[:, :, None] * rays).sum(1)
    power = (centre * centre).sum(1)[:, None] - radius[:, None] ** 2
    inside = along * along - square * power
    w = np.where(inside > 0, (along + np.sqrt(np.maximum(inside, 0))) / power, 0.0)
    w = np.maximum(w, 0.0)
    points = rays / np.maximum(w, 1e-6)[:, None, :] - centre[:, :, None]
    x, y, z = np.moveaxis(view.ball_from_camera[number] @ points, 1, 0)
    u = np.arctan2(y, x) / (2 * np.pi) + 0.5
    v = np.arccos(np.clip(z / radius[:, None], -1, 1)) / np.pi
    return w, u * w, v * w


def _ball_detail(
    scene: Scene, lens: Lens, view: SurfacesInView, lists: Int[np.ndarray, 'n k']
) -> Float[np.ndarray, 'n k']:
    texels = scene.atlas.layout[view.surface, 0, 0] / (2 * np.pi * view.ball_radius)
    sample = np.linalg.norm(view.ball_centre, axis=1) / (2 * lens.camera.fx)
    return np.log2(np.maximum(1.5 * _SOFTNESS * texels * sample, 1.0))[lists]


def _averaged(
    phases: list[UInt8[np.ndarray, '_ _ 3']], height: int, width: int
) -> UInt8[np.ndarray, 'height width 3']:
    corner, top, left, centre = phases
    total: np.ndarray = corner[:height, :width].astype(np.uint16)
    for i, j in ((0, 1), (1, 0), (1, 1)):
        total += corner[i : height + i, j : width + j]
    for side in (top[:height, :width], top[1 : height + 1, :width]):
        total += side
        total += side
    for side in (left[:height, :width], left[:height, 1 : width + 1]):
        total += side
        total += side
    total += 8
    total += centre[:height, :width].astype(np.uint16) << 2
    total >>= 4
    return total.astype(np.uint8)
