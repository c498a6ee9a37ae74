# SPDX-License-Identifier: Apache-2.0
"""The frame that the following ones are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.correspondence.points import MIN_TEXTURE, cell_size, select_points, texture_map
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.map_scale import MEASURED, MapScale


@dataclass(frozen=True)
class PointDepths:
    """Pixels of one image with their inverse depth.

    Attributes:
        pixels: (n, 2) float32 (x, y).
        inverse_depth: (n,) float32; 0 where unknown.
        variance: (n,) float32; infinite where unknown.
    """

    pixels: Float[np.ndarray, 'n 2']
    inverse_depth: Float[np.ndarray, ' n']
    variance: Float[np.ndarray, ' n']


@dataclass(frozen=True)
class Keyframe:
    """A frame with pose, depth and the points that are followed from it.

    Attributes:
        frame: the picture.
        depth: its dense depth so far.
        world_from_camera: its pose.
        covariance: (6, 6) of its pose.
        points: textured points, with what is known of their depth.
        texture: (n,) float32 texture at the points, see texture_map, of the evened picture.
        scale: how well the scale of its depth is known.
        learnt_px: parallax, in pixels, of the frame that last taught it dense depth.
        variance_before: (n,) of the points' inverse depth before this key frame taught it; None
            where it teaches nothing.
    """

    frame: PreparedFrame
    depth: DepthEstimate
    world_from_camera: Matrix4
    covariance: Matrix6
    points: PointDepths
    texture: Float[np.ndarray, ' n']
    scale: MapScale = MEASURED
    learnt_px: float = 0.0
    variance_before: Float[np.ndarray, ' n'] | None = None

    def __len__(self) -> int:
        return len(self.texture)


def make_keyframe(
    frame: PreparedFrame,
    depth: DepthEstimate,
    followed: PointDepths | None,
    world_from_camera: Matrix4,
    covariance: Matrix6,
    count: int,
    scale: MapScale = MEASURED,
) -> Keyframe:
    """Choose the points of a new key frame: textured, usable and with depth.

    Args:
        frame: the picture.
        depth: its dense depth.
        followed: points with depth that earlier key frames already had; they go on.
        world_from_camera: its pose.
        covariance: of the pose.
        count: about how many points to have.
        scale: of the depth.
    """
    usable = frame.usable
    if depth.inverse_depth.shape == frame.grey.shape:
        known = depth.inverse_depth > 0
        usable = known if usable is None else usable & known
    texture = texture_map(frame.grey)
    if frame.usable is not None:
        texture = np.where(frame.usable, texture, np.float32(0.0))
    if followed is not None:
        spacing = cell_size(len(texture), len(texture[0]), count)
        followed = _thinned(_textured(followed, texture), spacing)
    pixels = select_points(texture, usable, count, followed.pixels if followed else None)
    points = PointDepths(pixels, *look_up(depth, pixels, frame.camera))
    if followed is not None:
        points = _joined(followed, points)
    return Keyframe(
        frame,
        depth,
        world_from_camera,
        covariance,
        points,
        _nearest(texture, points.pixels) * frame.even.gain_at(points.pixels) ** 2,
        scale,
    )


def look_up(
    depth: DepthEstimate, pixels: Float[np.ndarray, 'n 2'], camera: CameraModel
) -> tuple[Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return inverse depth and variance at the nearest pixels of a map of any size."""
    scale = (depth.camera.width / camera.width, depth.camera.height / camera.height)
    at = np.floor((pixels + 0.5) * scale).astype(np.intp)
    columns = np.clip(at[:, 0], 0, depth.camera.width - 1)
    rows = np.clip(at[:, 1], 0, depth.camera.height - 1)
    return depth.inverse_depth[rows, columns], depth.variance[rows, columns]


def _nearest(
    values: Float[np.ndarray, 'height width'], pixels: Float[np.ndarray, 'n 2']
) -> Float[np.ndarray, ' n']:
    at = np.rint(pixels).astype(np.intp)
    return values[at[:, 1], at[:, 0]]


def _textured(points: PointDepths, texture: Float[np.ndarray, 'height width']) -> PointDepths:
    keep = _nearest(texture, points.pixels) > MIN_TEXTURE
    return PointDepths(points.pixels[keep], points.inverse_depth[keep], points.variance[keep])


def _thinned(points: PointDepths, spacing: float) -> PointDepths:
    """Keep the best known point of each cell of a grid."""
    at = (points.pixels // spacing).astype(np.int64)
    order = np.lexsort([points.variance / points.inverse_depth**2, at[:, 0], at[:, 1]])
    first = np.unique(at[order], axis=0, return_index=True)[1]
    keep = order[first]
    return PointDepths(points.pixels[keep], points.inverse_depth[keep], points.variance[keep])


def _joined(first: PointDepths, second: PointDepths) -> PointDepths:
    return PointDepths(
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.inverse_depth, second.inverse_depth]),
        np.concatenate([first.variance, second.variance]),
    )
