# SPDX-License-Identifier: Apache-2.0
"""The lens that the refinement solves for: one focal length, a centre and two radial terms.

It describes the tracking pictures, from which the distortion that was known before has been taken
out: what is left to find is small, or everything when nothing was known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel

# Order of the numbers that describe a lens.
FOCAL, CENTRE_X, CENTRE_Y, RADIAL_1, RADIAL_2 = range(5)
LENS_NUMBERS = 5
_MIN_Z = 1e-3
_INVERSIONS = 12


@dataclass(frozen=True)
class Lens:
    """x_d = x (1 + k1 r^2 + k2 r^4), u = f x_d + cx, v = aspect f y_d + cy, in pixels.

    Attributes:
        numbers: (5,) float64 focal length of x, centre x, centre y, k1, k2.
        aspect: focal length of y over that of x; known before.
    """

    numbers: Float[Tensor, ' 5']
    aspect: float

    @classmethod
    def of_camera(cls, camera: CameraModel) -> Lens:
        """Return the lens of an undistorted camera."""
        numbers = [camera.fx, camera.cx, camera.cy, 0.0, 0.0]
        return cls(torch.tensor(numbers, dtype=torch.float64), camera.fy / camera.fx)

    @property
    def focal(self) -> float:
        """Focal length of x, pixels."""
        return float(self.numbers[FOCAL].detach())

    def with_focal(self, focal: float) -> Lens:
        """Return the same lens with another focal length, pixels."""
        numbers = self.numbers.clone()
        numbers[FOCAL] = focal
        return Lens(numbers, self.aspect)

    def focals(self) -> Float[Tensor, ' 2']:
        """Return the focal lengths of x and y, pixels."""
        return torch.stack([self.numbers[FOCAL], self.numbers[FOCAL] * self.aspect])

    def rays(self, pixels: Float[Tensor, '*n 2']) -> Float[Tensor, '*n 3']:
        """Return the ray (x, y, 1) through each pixel."""
        numbers = self.numbers.to(pixels)
        bent = (pixels - numbers[[CENTRE_X, CENTRE_Y]]) / self.focals().to(pixels)
        straight = bent
        if numbers[RADIAL_1] or numbers[RADIAL_2]:
            for _ in range(_INVERSIONS):
                squared = straight.square().sum(-1, keepdim=True)
                straight = bent / (
                    1.0 + squared * (numbers[RADIAL_1] + squared * numbers[RADIAL_2])
                )
        return torch.cat([straight, torch.ones_like(straight[..., :1])], -1)

    def project(self, points: Float[Tensor, '*n 3']) -> Float[Tensor, '*n 2']:
        """Return the pixel of each point of the camera; meaningless where z <= 0."""
        flat = points[..., :2] / points[..., 2:].clamp_min(_MIN_Z)
        numbers = self.numbers.to(points)
        squared = flat.square().sum(-1, keepdim=True)
        bend = 1.0 + squared * (numbers[RADIAL_1] + squared * numbers[RADIAL_2])
        return flat * bend * self.focals().to(points) + numbers[[CENTRE_X, CENTRE_Y]]


@dataclass(frozen=True)
class LensDerivatives:
    """Where points are seen and how that changes; n points.

    Attributes:
        pixel: (n, 2).
        by_point: (n, 2, 3) by the point in camera axes.
        by_lens: (n, 2, 5) by the numbers of the lens.
    """

    pixel: Float[Tensor, 'n 2']
    by_point: Float[Tensor, 'n 2 3']
    by_lens: Float[Tensor, 'n 2 5']


def project_with_derivatives(lens: Lens, points: Float[Tensor, 'n 3']) -> LensDerivatives:
    """Project points of the camera, z > 0, with the derivatives by point and lens."""
    z = points[:, 2].clamp_min(_MIN_Z)
    x, y = points[:, 0] / z, points[:, 1] / z
    _, cx, cy, k1, k2 = lens.numbers.unbind()
    fx, fy = lens.focals().unbind()
    squared = x * x + y * y
    bend = 1.0 + squared * (k1 + squared * k2)
    slope = 2.0 * (k1 + 2.0 * squared * k2)
    pixel = torch.stack([fx * x * bend + cx, fy * y * bend + cy], -1)
    # by the point of the plane z = 1, then by the point of space
    xx, xy, yy = fx * (bend + slope * x * x), slope * x * y, fy * (bend + slope * y * y)
    yx, xy = fy * xy, fx * xy
    by_point = torch.stack([xx, xy, -xx * x - xy * y, yx, yy, -yx * x - yy * y], -1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    by_x = [x * bend, one, zero, fx * x * squared, fx * x * squared**2]
    by_y = [lens.aspect * y * bend, zero, one, fy * y * squared, fy * y * squared**2]
    return LensDerivatives(
        pixel,
        by_point.unflatten(-1, (2, 3)) / z[:, None, None],
        torch.stack(by_x + by_y, -1).unflatten(-1, (2, LENS_NUMBERS)),
    )
