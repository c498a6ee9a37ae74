# SPDX-License-Identifier: Apache-2.0
"""Depth maps of a recording fused into one cloud of points that several frames agree on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import map_coordinates

from flowcam_ros.flowmap.reconstruction import DepthMap, Reconstruction
from flowcam_ros.flowmap.voxels import Cloud, VoxelGrid
from flowcam_ros.geometry.se3 import inverse
from flowcam_ros.settings import option

# Frames that look in directions farther apart than this see other sides of things.
_MAX_ANGLE = np.deg2rad(60.0)
# Depth maps looked at for the typical depth.
_SAMPLES = 8


@dataclass(frozen=True)
class FuseConfig:
    """Which points of depth maps make up the cloud."""

    max_relative_sigma: float = option(
        0.05,
        'Depth that is less sure than this is left out.',
        unit='fraction of the depth',
        ge=0.0001,
        le=1.0,
    )
    neighbours: int = option(
        4, 'Nearest other depth maps that are asked whether they agree.', ge=1, le=50
    )
    min_agreeing: int = option(
        1, 'That many of them must agree with a point; 0 believes every depth map.', ge=0, le=50
    )
    agreement: float = option(
        2.5,
        'Depths within this many standard deviations of their difference agree.',
        ge=0.1,
        le=10.0,
    )
    voxel: float = option(
        0.005,
        'Edge of the cubes in which points are averaged.',
        unit='fraction of the median depth',
        ge=0.0001,
        le=1.0,
    )


@dataclass(frozen=True)
class _View:
    """The K pixels of a depth map that are sure enough.

    Attributes:
        rays: (K, 3) through the pixels, camera axes, z is 1.
        inverse_depth: (K,) of them.
        variance: (K,) of the inverse depth.
        colors: (K, 3) of them.
    """

    rays: Float[np.ndarray, 'k 3']
    inverse_depth: Float[np.ndarray, ' k']
    variance: Float[np.ndarray, ' k']
    colors: UInt8[np.ndarray, 'k 3']


def fuse(
    reconstruction: Reconstruction,
    config: FuseConfig | None = None,
    progress: Callable[[int], None] | None = None,
) -> Cloud:
    """Return the points of all depth maps that are sure and confirmed, one for each small cube.

    A point is confirmed if it is seen where another depth map, from near by, has it too. Where a
    reconstruction has too few depth maps for ``min_agreeing``, all others must agree. In memory
    are twice ``neighbours`` depth maps and the cloud.

    Args:
        reconstruction: poses and depth maps.
        config: what is believed.
        progress: called with the number of depth maps done.
    """
    config = config or FuseConfig()
    frames = np.array(reconstruction.depth.frames(), np.int64)
    depth_map = functools.lru_cache(2 * config.neighbours + 1)(reconstruction.depth.__getitem__)
    typical = _typical_depth(frames, depth_map)
    if typical is None:
        return VoxelGrid(1.0).cloud()
    poses = reconstruction.trajectory.world_from_camera[frames]
    grid = VoxelGrid(config.voxel * typical)
    for k, frame in enumerate(frames.tolist()):
        view = _sure(depth_map(frame), config.max_relative_sigma)
        near = _nearest(poses, k, typical, config.neighbours)
        agreeing = np.zeros(len(view.rays), np.int64)
        for other in near:
            other_from_this = inverse(poses[other]) @ poses[k]
            other_map = depth_map(int(frames[other]))
            agreeing += _agree(view, other_map, other_from_this, config.agreement)
        kept = agreeing >= min(config.min_agreeing, len(frames) - 1)
        _add(grid, view, kept, poses[k])
        if progress is not None:
            progress(k + 1)
    return grid.cloud()


def _typical_depth(frames: np.ndarray, depth_map: Callable[[int], DepthMap]) -> float | None:
    """Return the median depth of some of the maps; None if nothing is known."""
    medians = []
    for frame in frames[:: -(-len(frames) // _SAMPLES) or 1].tolist():
        inverse_depth = depth_map(frame).inverse_depth
        known = inverse_depth[inverse_depth > 0]
        if known.size:
            medians.append(1 / float(np.median(known)))
    return float(np.median(medians)) if medians else None


def _nearest(
    poses: Float[np.ndarray, 'n 4 4'], k: int, typical_depth: float, count: int
) -> list[int]:
    """Return the views most like view ``k``: near, and looking the same way."""
    distance = np.linalg.norm(poses[:, :3, 3] - poses[k, :3, 3], axis=1) / typical_depth
    angle = np.arccos(np.clip(poses[:, :3, 2] @ poses[k, :3, 2], -1.0, 1.0))
    cost = np.where(angle < _MAX_ANGLE, distance + angle, np.inf)
    cost[k] = np.inf
    return [int(i) for i in np.argsort(cost, kind='stable')[:count] if np.isfinite(cost[i])]


def _sure(depth_map: DepthMap, max_relative_sigma: float) -> _View:
    camera, inverse_depth = depth_map.camera, depth_map.inverse_depth
    limit = np.square(max_relative_sigma * inverse_depth)
    rows, columns = np.nonzero((inverse_depth > 0) & (depth_map.variance <= limit))
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    return _View(
        np.column_stack([x, y, np.ones(len(x))]),
        inverse_depth[rows, columns].astype(np.float64),
        depth_map.variance[rows, columns].astype(np.float64),
        depth_map.colors[rows, columns],
    )


def _agree(
    view: _View, other: DepthMap, other_from_this: Float[np.ndarray, '4 4'], limit: float
) -> Bool[np.ndarray, ' k']:
    """Return the points of ``view`` at which the other map has the same depth, as far as known."""
    turned = view.rays @ other_from_this[:3, :3].T
    depth = 1.0 / view.inverse_depth
    local = turned * depth[:, None] + other_from_this[:3, 3]
    ahead = np.flatnonzero(local[:, 2] > 1e-6 * depth)
    expected = 1.0 / local[ahead, 2]
    camera = other.camera
    x = camera.fx * local[ahead, 0] * expected + camera.cx
    y = camera.fy * local[ahead, 1] * expected + camera.cy
    there, variance = _looked_up(other, np.stack([y, x]))
    # How the inverse depth there changes with that here.
    slope = turned[ahead, 2] * np.square(depth[ahead] * expected)
    variance = variance + view.variance[ahead] * np.square(slope)
    agrees = np.zeros(len(depth), bool)
    # Comparing with NaN, where the other map knows nothing, is False.
    agrees[ahead] = np.square(there - expected) <= limit**2 * variance
    return agrees


def _looked_up(
    depth_map: DepthMap, rows_columns: Float[np.ndarray, '2 k']
) -> tuple[Float[np.ndarray, ' k'], Float[np.ndarray, ' k']]:
    """Return inverse depth and variance between pixels; NaN where one around is unknown.

    Inverse depth is linear over a plane, so that mixing neighbours is exact there; at an edge it
    gives a depth that agrees with nothing.
    """
    known = depth_map.inverse_depth > 0
    inverse_depth, variance = (
        map_coordinates(
            np.where(known, values, np.nan), rows_columns, order=1, cval=np.nan, prefilter=False
        )
        for values in (depth_map.inverse_depth, depth_map.variance)
    )
    return inverse_depth, variance


def _add(
    grid: VoxelGrid, view: _View, kept: Bool[np.ndarray, ' k'], pose: Float[np.ndarray, '4 4']
) -> None:
    depth = 1.0 / view.inverse_depth[kept]
    positions = (view.rays[kept] * depth[:, None]) @ pose[:3, :3].T + pose[:3, 3]
    # The variance of z is that of 1/z times z^4; a map that claims none still weighs finitely.
    variance = np.maximum(view.variance[kept], 1e-12 * np.square(view.inverse_depth[kept]))
    grid.add(positions, view.colors[kept], variance * depth**4)
