# SPDX-License-Identifier: Apache-2.0
"""A small exact reconstruction whose every number is known."""

from __future__ import annotations

import numpy as np

from flowcam_ros.flowmap.reconstruction import DepthMap, PointTracks, Reconstruction
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.trajectory import Trajectory

CAMERA = CameraModel(640, 480, 500.0, 500.0, 319.5, 239.5, 'plumb_bob', (0.05, -0.02, 0.0, 0.0))
STEP_M = 0.1


class FlatDepth:
    """Depth maps of a wall at four metres."""

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def frames(self) -> list[int]:
        return list(range(self._frames))

    def __getitem__(self, frame: int) -> DepthMap:
        camera = CAMERA.without_distortion().resized(80, 60)
        inverse = np.full((60, 80), 0.25, np.float32)
        inverse[:10] = 0.0
        variance = np.where(inverse > 0, 1e-4, np.inf).astype(np.float32)
        colors = np.full((60, 80, 3), (200, 40, 10), np.uint8)
        return DepthMap(camera, inverse, variance, colors)


def walk(frames: int) -> Trajectory:
    """Return steps of 0.1 m to the right, a tenth of a second each."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = STEP_M * np.arange(frames)
    return Trajectory(np.arange(frames) * 100_000_000 + 1_700_000_000_000_000_000, poses)


def wall(frames: int = 6, points: int = 50, noise_px: float = 0.0) -> Reconstruction:
    """Return a walk along a wall 4 m away on which every frame sees every point."""
    rng = np.random.default_rng(0)
    positions = np.column_stack(
        [rng.uniform(-1, 1.5, points), rng.uniform(-1, 1, points), np.full(points, 4.0)]
    )
    path = walk(frames)
    frame, point = (a.ravel() for a in np.mgrid[:frames, :points])
    pixels = project(CAMERA, positions[point] - path.positions[frame])
    angle = rng.uniform(0, 2 * np.pi, len(pixels))
    pixels += noise_px * np.column_stack([np.cos(angle), np.sin(angle)])
    tracks = PointTracks(
        positions,
        np.full((points, 3), 128, np.uint8),
        np.full(points, noise_px),
        point.astype(np.int64),
        frame.astype(np.int64),
        pixels,
    )
    names = tuple(f'{k:06d}.png' for k in range(frames))
    chosen = np.ones(frames, bool)
    return Reconstruction(path, names, chosen, CAMERA, tracks, FlatDepth(frames), 'none')
