# SPDX-License-Identifier: Apache-2.0
"""Where a pose and an inverse depth put a pixel in another image, and the derivatives of that.

The point of the target camera, scaled by the source's inverse depth rho, is R ray + rho t: finite
for points at infinity, and linear in rho. Everything works on one pose or on a batch of them. The
points come last, next to each other in memory: this is the inner loop of every fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel

MIN_INVERSE_DEPTH = 1e-4
_MAX_INVERSE_DEPTH = 100.0
_MIN_Z = 1e-3


@dataclass(frozen=True)
class Reprojection:
    """Points of a source image in a target image.

    Attributes:
        pose: target_from_source.
        moved: points of the target camera times their source inverse depth.
        depth: inverse depth in the source.
        predicted: pixel x, pixel y and inverse depth in the target.
        ahead: whether the point lies before the target camera; elsewhere the rest means nothing.
    """

    pose: Float[Tensor, '*b 4 4']
    moved: Float[Tensor, '*b 3 n']
    depth: Float[Tensor, '*b n']
    predicted: Float[Tensor, '*b 3 n']
    ahead: Bool[Tensor, '*b n']


def reproject(
    camera: CameraModel,
    rays: Float[Tensor, '*b 3 n'],
    depth: Float[Tensor, '*b n'],
    pose: Float[Tensor, '*b 4 4'],
) -> Reprojection:
    """Return source points (rays with z = 1, inverse depth) in the target image of ``pose``."""
    moved = pose[..., :3, :3] @ rays + pose[..., :3, 3:] * depth.unsqueeze(-2)
    x, y, z = moved.unbind(-2)
    inverse_z = z.clamp_min(_MIN_Z).reciprocal_()
    predicted = torch.stack(
        [
            camera.fx * x * inverse_z + camera.cx,
            camera.fy * y * inverse_z + camera.cy,
            depth * inverse_z,
        ],
        -2,
    )
    return Reprojection(pose, moved, depth, predicted, z > _MIN_Z)


def derivatives(
    camera: CameraModel, at: Reprojection
) -> tuple[Float[Tensor, '*b 6 3 n'], Float[Tensor, '*b 3 n']]:
    """Return how ``predicted`` changes with the pose and with the depth of its point.

    Returns:
        (..., 6, 3, n) by a small motion (translation, rotation vector) in target axes on the left
        of the pose, and (..., 3, n) by the source's inverse depth.
    """
    depth = at.depth
    x, y, z = at.moved.unbind(-2)
    inverse_z = z.clamp_min(_MIN_Z).reciprocal_()
    fx, fy = camera.fx * inverse_z, camera.fy * inverse_z
    zero = torch.zeros_like(fx)
    x_by_z, y_by_z = -fx * x * inverse_z, -fy * y * inverse_z
    depth_by_z = -depth * inverse_z**2
    # d/dp of (pixel, inverse depth), then d/dw = p x d/dp, written out: most entries are zero
    by_motion = torch.stack(
        [
            *(fx * depth, zero, zero),
            *(zero, fy * depth, zero),
            *(x_by_z * depth, y_by_z * depth, depth_by_z * depth),
            *(y * x_by_z, y * y_by_z - z * fy, y * depth_by_z),
            *(z * fx - x * x_by_z, -x * y_by_z, -x * depth_by_z),
            *(-y * fx, x * fy, zero),
        ],
        -2,
    )
    tx, ty, tz = at.pose[..., :3, 3].unsqueeze(-2).unbind(-1)
    by_depth = torch.stack(
        [fx * tx + x_by_z * tz, fy * ty + y_by_z * tz, depth_by_z * tz + inverse_z], -2
    )
    return by_motion.unflatten(-2, (6, 3)), by_depth


def clamped_depth(depth: Float[Tensor, '*n']) -> Float[Tensor, '*n']:
    """Return inverse depths within what a camera can see."""
    return depth.clamp(MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)
