# SPDX-License-Identifier: Apache-2.0
"""Where a pose and an inverse depth put a pixel in another image, and the derivatives of that.

The point of the target camera, scaled by the source's inverse depth rho, is R ray + rho t: finite
for points at infinity, and linear in rho. Everything works on one pose or on a batch of them.
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
    moved: Float[Tensor, '*b n 3']
    depth: Float[Tensor, '*b n']
    predicted: Float[Tensor, '*b n 3']
    ahead: Bool[Tensor, '*b n']


def reproject(
    camera: CameraModel,
    rays: Float[Tensor, '*b n 3'],
    depth: Float[Tensor, '*b n'],
    pose: Float[Tensor, '*b 4 4'],
) -> Reprojection:
    """Return source points (rays with z = 1, inverse depth) in the target image of ``pose``."""
    turned = rays @ pose[..., :3, :3].mT
    moved = turned + depth.unsqueeze(-1) * pose[..., None, :3, 3]
    z = moved[..., 2].clamp_min(_MIN_Z)
    predicted = torch.stack(
        [
            camera.fx * moved[..., 0] / z + camera.cx,
            camera.fy * moved[..., 1] / z + camera.cy,
            depth / z,
        ],
        -1,
    )
    return Reprojection(pose, moved, depth, predicted, moved[..., 2] > _MIN_Z)


def derivatives(
    camera: CameraModel, at: Reprojection
) -> tuple[Float[Tensor, '*b n 3 6'], Float[Tensor, '*b n 3']]:
    """Return how ``predicted`` changes with the pose and with the depth of its point.

    Returns:
        (..., n, 3, 6) by a small motion (translation, rotation vector) in target axes on the left
        of the pose, and (..., n, 3) by the source's inverse depth.
    """
    depth = at.depth
    x, y, z = at.moved.unbind(-1)
    inverse_z = 1.0 / z.clamp_min(_MIN_Z)
    fx, fy = camera.fx * inverse_z, camera.fy * inverse_z
    zero = torch.zeros_like(fx)
    x_by_z, y_by_z = -fx * x * inverse_z, -fy * y * inverse_z
    depth_by_z = -depth * inverse_z**2
    # d/dp of (pixel, inverse depth), then d/dw = p x d/dp, written out: most entries are zero
    by_motion = torch.stack(
        [
            *(fx * depth, zero, x_by_z * depth),
            *(y * x_by_z, z * fx - x * x_by_z, -y * fx),
            *(zero, fy * depth, y_by_z * depth),
            *(y * y_by_z - z * fy, -x * y_by_z, x * fy),
            *(zero, zero, depth_by_z * depth),
            *(y * depth_by_z, -x * depth_by_z, zero),
        ],
        -1,
    )
    tx, ty, tz = at.pose[..., :3, 3].unsqueeze(-2).unbind(-1)
    by_depth = torch.stack(
        [fx * tx + x_by_z * tz, fy * ty + y_by_z * tz, depth_by_z * tz + inverse_z], -1
    )
    return by_motion.unflatten(-1, (3, 6)), by_depth


def clamped_depth(depth: Float[Tensor, '*n']) -> Float[Tensor, '*n']:
    """Return inverse depths within what a camera can see."""
    return depth.clamp(MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)
