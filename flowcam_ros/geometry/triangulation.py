# SPDX-License-Identifier: Apache-2.0
"""Inverse depth of source pixels from where they are in a target image of known pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import rays

_NEAREST_Z = 0.05  # of the target point, relative to the source point's depth


@dataclass(frozen=True)
class Triangulation:
    """Result of :func:`triangulate`.

    Attributes:
        inverse_depth: (*n) of the source pixels; may be negative, which no true point is.
        variance: (*n); huge without parallax.
        across_px: (*n) distance of the target pixel from the epipolar line, pixels.
    """

    inverse_depth: Float[Tensor, '*n']
    variance: Float[Tensor, '*n']
    across_px: Float[Tensor, '*n']


def triangulate(
    camera: CameraModel,
    source: Float[Tensor, '*n 2'],
    target: Float[Tensor, '*n 2'],
    pixel_variance: Float[Tensor, '*n'],
    expected: Float[Tensor, '*n'],
    target_from_source: Float[Tensor, '4 4'],
    translation_sigma: float,
) -> Triangulation:
    """Return the least-squares inverse depth of each source pixel.

    With the target point a + rho t (a the rotated ray of the source pixel, rho its inverse depth)
    and the normalised target position u: rho (t_x - u_x t_z) = u_x a_z - a_x, and so for y.

    Args:
        camera: undistorted camera of both images.
        source: pixels of the source image.
        target: the same points in the target image, pixels.
        pixel_variance: variance of each target coordinate, pixels^2.
        expected: inverse depth so far; scales the errors.
        target_from_source: pose, any dtype and device as the pixels.
        translation_sigma: standard deviation of the pose's translation, in its unit; a wrong
            length of the translation scales all depths alike.
    """
    rotation, t = target_from_source[:3, :3], target_from_source[:3, 3]
    a = rays(camera, source) @ rotation.T
    u = rays(camera, target)[..., :2]
    focal = torch.tensor([camera.fx, camera.fy], dtype=source.dtype, device=source.device)
    slope = (t[:2] - u * t[2]) * focal
    offset = (u * a[..., 2:] - a[..., :2]) * focal
    squared = (slope * slope).sum(-1).clamp_min(1e-12)
    inverse_depth = (slope * offset).sum(-1) / squared
    z = (a[..., 2] + expected * t[2]).clamp_min(_NEAREST_Z)
    relative = translation_sigma**2 / (t @ t).clamp_min(1e-12)
    variance = pixel_variance * z * z / squared + relative * inverse_depth**2
    cross = slope[..., 0] * offset[..., 1] - slope[..., 1] * offset[..., 0]
    return Triangulation(inverse_depth, variance, cross.abs() / (squared.sqrt() * z))
