# SPDX-License-Identifier: Apache-2.0
"""A small reconstruction whose every number is exact: a box seen from within."""

from __future__ import annotations

import dataclasses

import numpy as np

from flowcam_ros.flowmap.reconstruction import DepthMap, PointTracks, Reconstruction
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.se3 import exp, inverse
from flowcam_ros.geometry.trajectory import Trajectory

CAMERAS = {
    'none': CameraModel(96, 64, 80.0, 82.0, 46.5, 30.25),
    'plumb_bob': CameraModel(
        96, 64, 80.0, 82.0, 46.5, 30.25, 'plumb_bob', (-0.2, 0.05, 0.001, -0.002)
    ),
    'plumb_bob with k3': CameraModel(
        96, 64, 80.0, 82.0, 46.5, 30.25, 'plumb_bob', (-0.2, 0.05, 0.001, -0.002, 0.01)
    ),
    'rational_polynomial': CameraModel(
        *(96, 64, 80.0, 82.0, 46.5, 30.25, 'rational_polynomial'),
        (0.3, -0.6, 0.0005, -0.0003, 0.2, 0.6, -0.7, 0.1),
    ),
    'equidistant': CameraModel(
        96, 64, 80.0, 82.0, 46.5, 30.25, 'equidistant', (-0.02, 0.012, -0.006, 0.001)
    ),
}
# Half the size of the box in x, y, z.
BOX = np.array([2.0, 1.5, 3.0])
START_NS = 1_700_000_000_123_456_789
PERIOD_NS = 100_000_000
SIGMA = 1e-3


class ListedDepth:
    """Depth maps in memory that count how often each was asked for."""

    def __init__(self, maps: dict[int, DepthMap]) -> None:
        self.maps = maps
        self.asked: list[int] = []

    def frames(self) -> list[int]:
        return sorted(self.maps)

    def __getitem__(self, frame: int) -> DepthMap:
        self.asked.append(frame)
        return self.maps[frame]


def box_depth(camera: CameraModel, world_from_camera: np.ndarray) -> np.ndarray:
    """Return the exact z of the box at every pixel of an undistorted camera."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], -1)
    rays = rays @ world_from_camera[:3, :3].T
    start = world_from_camera[:3, 3]
    away = np.where(rays == 0, np.inf, np.abs(rays))
    return np.where(rays == 0, np.inf, np.where(rays > 0, BOX - start, BOX + start) / away).min(-1)


def box_colors(points: np.ndarray) -> np.ndarray:
    """Return a colour for points on the box that changes from place to place."""
    return np.uint8(np.clip(127.5 + 120 * np.sin(points * (1.0, 2.0, 0.5)), 0, 255))


def path(count: int) -> np.ndarray:
    """Return poses that look about from places on an arc."""
    return np.stack(
        [exp(np.array([0.15 * k, 0.02 * k, -0.1 * k, 0.02 * k, -0.08 * k, 0.01 * k]))
         for k in range(count)]
    )  # fmt: skip


def make_reconstruction(
    lens: str = 'none', frames: int = 6, points: int = 40, scale_source: str = 'depth'
) -> Reconstruction:
    """Return a reconstruction of the box; every second frame has a depth map of half size."""
    camera, poses = CAMERAS[lens], path(frames)
    rng = np.random.default_rng(7)
    small = camera.without_distortion().resized(camera.width // 2, camera.height // 2)
    maps = {k: _depth_map(small, poses[k]) for k in range(0, frames, 2)}
    return Reconstruction(
        trajectory=Trajectory(START_NS + PERIOD_NS * np.arange(frames), poses),
        names=tuple(f'frame_{k:06d}.png' for k in range(frames)),
        chosen=np.arange(frames) % 2 == 0,
        camera=camera,
        points=_tracks(camera, poses, points, rng),
        depth=ListedDepth(maps),
        scale_source=scale_source,
    )


def make_frames(reconstruction: Reconstruction) -> list[Frame]:
    """Return a noise picture for every frame of a reconstruction."""
    rng = np.random.default_rng(3)
    camera = reconstruction.camera
    shape = (camera.height, camera.width, 3)
    return [
        Frame(int(stamp), rng.integers(0, 256, shape, np.uint8), camera)
        for stamp in reconstruction.trajectory.stamps_ns
    ]


def with_depth(reconstruction: Reconstruction, maps: dict[int, DepthMap]) -> Reconstruction:
    """Return the reconstruction with other depth maps."""
    return dataclasses.replace(reconstruction, depth=ListedDepth(maps))


def _depth_map(camera: CameraModel, pose: np.ndarray) -> DepthMap:
    depth = box_depth(camera, pose)
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    local = np.stack([*np.meshgrid(x, y), np.ones(depth.shape)], -1) * depth[..., None]
    colors = box_colors(local @ pose[:3, :3].T + pose[:3, 3])
    inverse_depth = (1 / depth).astype(np.float32)
    variance = np.full(depth.shape, SIGMA**2, np.float32)
    inverse_depth[0, :3] = 0
    variance[0, :3] = np.inf
    return DepthMap(camera, inverse_depth, variance, colors)


def _tracks(
    camera: CameraModel, poses: np.ndarray, count: int, rng: np.random.Generator
) -> PointTracks:
    """Return points on the box in front of the first camera, and where each frame sees them."""
    first = poses[0]
    small = camera.without_distortion()
    depth = box_depth(small, first)
    u = rng.integers(10, camera.width - 10, count)
    v = rng.integers(10, camera.height - 10, count)
    z = depth[v, u]
    local = np.column_stack([(u - small.cx) / small.fx * z, (v - small.cy) / small.fy * z, z])
    positions = local @ first[:3, :3].T + first[:3, 3]
    seen = []
    for k, pose in enumerate(poses):
        camera_from_world = inverse(pose)
        local = positions @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        pixels = project(camera, local)
        inside = (
            (local[:, 2] > 0.1)
            & (pixels >= 0).all(1)
            & (pixels <= (camera.width - 1, camera.height - 1)).all(1)
        )
        seen += [(p, k, *pixels[p]) for p in np.flatnonzero(inside)]
    # In no order, as trackers give them.
    table = np.array(seen)[rng.permutation(len(seen))]
    return PointTracks(
        positions=positions,
        colors=box_colors(positions),
        error_px=np.zeros(count),
        point=table[:, 0].astype(np.int64),
        frame=table[:, 1].astype(np.int64),
        pixels=table[:, 2:],
    )
