# SPDX-License-Identifier: Apache-2.0
"""Inverse depth from two views: exact for exact pixels, honest about the error."""

import numpy as np
import torch

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.geometry.triangulation import triangulate

CAMERA = CameraModel(640, 480, 500.0, 500.0, 320.0, 240.0)
POSE = torch.from_numpy(se3.exp(np.array([0.2, -0.1, 0.15, 0.02, -0.03, 0.05])))


def scene(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([640.0, 480.0], dtype=torch.float64)
    source = torch.rand(count, 2, dtype=torch.float64, generator=generator) * size
    inverse = 0.1 + 0.9 * torch.rand(count, dtype=torch.float64, generator=generator)
    points = rays(CAMERA, source) / inverse.unsqueeze(-1)
    return source, project(CAMERA, points @ POSE[:3, :3].T + POSE[:3, 3]), inverse


def test_exact_pixels_give_exact_depth() -> None:
    source, target, inverse = scene(200)
    result = triangulate(CAMERA, source, target, torch.ones(200).double(), inverse, POSE, 0.0)
    torch.testing.assert_close(result.inverse_depth, inverse, atol=1e-9, rtol=1e-9)
    assert float(result.across_px.max()) < 1e-6


def test_the_variance_is_that_of_noisy_pixels() -> None:
    source, target, inverse = scene(20000)
    sigma = 0.3
    noisy = target + sigma * torch.randn(target.shape, dtype=torch.float64)
    pixel_variance = torch.full_like(inverse, sigma**2)
    result = triangulate(CAMERA, source, noisy, pixel_variance, inverse, POSE, 0.0)
    normalized = (result.inverse_depth - inverse) ** 2 / result.variance
    assert 0.9 < float(normalized.mean()) < 1.1


def test_no_parallax_says_nothing() -> None:
    source = torch.rand(50, 2, dtype=torch.float64) * 400
    inverse = torch.full((50,), 0.5, dtype=torch.float64)
    still = torch.eye(4, dtype=torch.float64)
    result = triangulate(CAMERA, source, source, torch.ones(50).double(), inverse, still, 0.0)
    assert float(result.variance.min()) > 1e3
    assert torch.isfinite(result.inverse_depth).all()
