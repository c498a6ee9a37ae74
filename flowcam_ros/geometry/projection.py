# SPDX-License-Identifier: Apache-2.0
"""Pixels to rays and points to pixels, on torch tensors, for an undistorted camera."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel


def rays(camera: CameraModel, pixels: Float[Tensor, '*n 2']) -> Float[Tensor, '*n 3']:
    """Return the ray (x, y, 1) through each pixel; its point at depth z is z times the ray."""
    x = (pixels[..., 0] - camera.cx) / camera.fx
    y = (pixels[..., 1] - camera.cy) / camera.fy
    return torch.stack([x, y, torch.ones_like(x)], -1)


def project(camera: CameraModel, points: Float[Tensor, '*n 3']) -> Float[Tensor, '*n 2']:
    """Return the pixel of each point in camera axes; meaningless where z <= 0 (test it first)."""
    z = points[..., 2]
    x = camera.fx * points[..., 0] / z + camera.cx
    y = camera.fy * points[..., 1] / z + camera.cy
    return torch.stack([x, y], -1)
