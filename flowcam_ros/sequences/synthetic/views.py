# SPDX-License-Identifier: Apache-2.0
"""The truth about one picture of the synthetic world, and the exact flow between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.se3 import inverse

# A point counts as seen if its depth lies within this share of those of the pixels around it.
_SAME_DEPTH = 3e-3


@dataclass(frozen=True)
class View:
    """What an ideal camera sees at one instant, and everything that is true of it.

    Attributes:
        stamp_ns: the instant.
        image: (height, width, 3) BGR without noise, blur and jumps of the exposure.
        depth: (height, width) float32, z in metres at pixel centres.
        body: (height, width) uint8, which body is seen there: 0 the room, then what moves.
        camera: intrinsics with distortion.
        rays: (height, width, 2) ideal normalised coordinates of the pixels.
        world_from_camera: (4, 4).
        world_from_bodies: (bodies, 4, 4) poses of the bodies.
    """

    stamp_ns: int
    image: UInt8[np.ndarray, 'height width 3']
    depth: Float[np.ndarray, 'height width']
    body: UInt8[np.ndarray, 'height width']
    camera: CameraModel
    rays: Float[np.ndarray, 'height width 2']
    world_from_camera: Float[np.ndarray, '4 4']
    world_from_bodies: Float[np.ndarray, 'bodies 4 4']

    def points(self) -> Float[np.ndarray, 'height width 3']:
        """Return what each pixel sees, in camera axes, metres, float64."""
        solid = np.concatenate([self.rays, np.ones_like(self.rays[..., :1])], axis=-1)
        return solid * self.depth[..., None].astype(np.float64)


def flow_between(source: View, target: View) -> Flow:
    """Return the exact flow between two views of one sequence, in any order.

    It follows moving things. The confidence is 1 where the target shows the same spot of the same
    surface, and 0 where the spot is hidden or outside of the image; the displacement is right all
    the same where the spot is in front of the camera, else 0.
    """
    points = np.zeros_like(source.points())
    for number, pose in enumerate(_target_from_source(source, target)):
        there = source.body == number
        points[there] = source.points()[there] @ pose[:3, :3].T + pose[:3, 3]
    in_front = (points[..., 2] > 0) & (source.depth > 0)
    points[~in_front] = (0.0, 0.0, 1.0)
    height, width = source.depth.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    arrival = project(target.camera, points)
    displacement = arrival - np.stack([columns, rows], axis=-1)
    displacement[~in_front] = 0.0
    seen = in_front & _seen(target, arrival, points[..., 2], source.body)
    return Flow(displacement.astype(np.float32), seen.astype(np.float32))


def _target_from_source(source: View, target: View) -> Float[np.ndarray, 'bodies 4 4']:
    """Return how the points of each body move from the source's to the target's axes."""
    camera_from_world = inverse(target.world_from_camera)
    return np.stack(
        [
            camera_from_world @ after @ inverse(before) @ source.world_from_camera
            for before, after in zip(
                source.world_from_bodies, target.world_from_bodies, strict=True
            )
        ]
    )


def _seen(
    target: View,
    arrival: Float[np.ndarray, 'h w 2'],
    depth: Float[np.ndarray, 'h w'],
    body: UInt8[np.ndarray, 'h w'],
) -> Bool[np.ndarray, 'h w']:
    """Return whether points that arrive between pixels of the target lie on what these show."""
    height, width = target.depth.shape
    x, y = arrival[..., 0], arrival[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left = np.clip(np.floor(np.nan_to_num(x)), 0, width - 2).astype(np.intp)
    top = np.clip(np.floor(np.nan_to_num(y)), 0, height - 2).astype(np.intp)
    nearest, farthest = np.full(depth.shape, np.inf), np.zeros(depth.shape)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        same = target.body[top + i, left + j] == body
        there = target.depth[top + i, left + j]
        nearest = np.where(same, np.minimum(nearest, there), nearest)
        farthest = np.where(same, np.maximum(farthest, there), farthest)
    fits = (depth >= nearest * (1 - _SAME_DEPTH)) & (depth <= farthest * (1 + _SAME_DEPTH))
    return inside & fits
