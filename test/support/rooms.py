# SPDX-License-Identifier: Apache-2.0
"""Depth images of convex rooms without any picture, exact but for the noise that is asked for."""

from __future__ import annotations

import numpy as np

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)
# Rows are walls: the direction out of the room, and how far from the origin it is met, metres.
WALL = np.array([[0.0, 0.0, 1.0, 2.0]])
# Three walls at right angles that all are in view, the corner somewhat off the axis.
CORNER = np.array([[0.6, 0.0, 0.8, 2.0], [-0.8, 0.0, 0.6, 1.5], [0.0, 1.0, 0.0, 0.7]])


def rays_of(camera: CameraModel) -> np.ndarray:
    """Return (height, width, 3) the ray of each pixel, z = 1."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], -1)


def seen_from(walls: np.ndarray, camera_from_room: np.ndarray) -> np.ndarray:
    """Return (n, 3) the walls as planes p . X = 1 in the axes of a camera in the room."""
    normals = walls[:, :3] @ camera_from_room[:3, :3].T
    return normals / (walls[:, 3] + normals @ camera_from_room[:3, 3])[:, None]


def true_inverse(camera: CameraModel, walls: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return the inverse depth from ``pose`` (camera_from_room): that of the nearest wall."""
    inverse: np.ndarray = (rays_of(camera) @ seen_from(walls, pose).T).max(-1)
    return inverse


def depth_of(
    walls: np.ndarray,
    pose: np.ndarray | None = None,
    sigma: float = 0.0,
    seed: int = 0,
    camera: CameraModel = CAMERA,
) -> DepthEstimate:
    """Return depth as it is measured from ``pose``, with noise of the stated variance."""
    inverse = true_inverse(camera, walls, np.eye(4) if pose is None else pose)
    inverse += sigma * np.random.default_rng(seed).normal(size=inverse.shape)
    return estimate_of(inverse, sigma, camera)


def estimate_of(inverse: np.ndarray, sigma: float, camera: CameraModel = CAMERA) -> DepthEstimate:
    """Return inverse depths as an estimate; unknown where they are not positive."""
    known = inverse > 0
    return DepthEstimate(
        0,
        camera,
        np.where(known, inverse, 0.0).astype(np.float32),
        np.where(known, max(sigma, 1e-3) ** 2, np.inf).astype(np.float32),
        np.zeros(inverse.shape, np.uint8),
    )
