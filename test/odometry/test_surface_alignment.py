# SPDX-License-Identifier: Apache-2.0
"""Depth images aligned by themselves: from afar, with a covariance, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rooms import CAMERA, CORNER, WALL, depth_of, estimate_of, true_inverse

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.odometry.surface import SurfaceTerm
from flowcam_ros.odometry.surface_alignment import SurfaceFit, align_surface
from flowcam_ros.odometry.surface_patches import surface_of

CPU = torch.device('cpu')
STILL = np.eye(4)
# 20 degrees, and 20 cm.
FAR = {
    'left': se3.exp(np.array([0.1, 0.05, -0.16, 0.0, 0.34, 0.0])),
    'right': se3.exp(np.array([-0.16, 0.05, 0.1, 0.05, -0.34, 0.05])),
    'down': se3.exp(np.array([0.05, 0.15, 0.1, 0.34, 0.03, 0.0])),
}
SMALL = se3.exp(np.array([0.02, -0.01, 0.03, 0.01, -0.02, 0.01]))
TINY = CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5)


def aligned(source: DepthEstimate, target: DepthEstimate, *starts: np.ndarray) -> list[SurfaceFit]:
    first = torch.from_numpy(np.stack(starts or (STILL,)))
    return align_surface(SurfaceTerm(surface_of(source, CPU), target), first)


def error(fit: SurfaceFit, motion: np.ndarray) -> np.ndarray:
    return se3.log(motion @ se3.inverse(fit.target_from_source.numpy()))


@pytest.mark.parametrize('name', FAR)
@pytest.mark.parametrize('sigma', [0.0, 0.003], ids=['exact', 'noisy'])
def test_a_corner_is_aligned_from_afar(name: str, sigma: float) -> None:
    motion = FAR[name]
    fits = aligned(depth_of(CORNER, sigma=sigma), depth_of(CORNER, motion, sigma, 1))
    off = error(fits[0], motion)
    assert np.linalg.norm(off[:3]) < 0.004
    assert np.degrees(np.linalg.norm(off[3:])) < 0.15
    assert fits[0].agreement > 0.95


def test_tiny_pictures_are_aligned() -> None:
    source, target = depth_of(CORNER, camera=TINY), depth_of(CORNER, SMALL, camera=TINY)
    assert np.abs(error(aligned(source, target)[0], SMALL)).max() < 0.003


def test_the_best_fit_comes_first_and_each_once() -> None:
    fits = aligned(depth_of(CORNER), depth_of(CORNER, SMALL), STILL, SMALL)
    assert [f.agreement for f in fits] == sorted((f.agreement for f in fits), reverse=True)
    assert not any(a.repeats(b) for i, a in enumerate(fits) for b in fits[:i])
    assert np.abs(error(fits[0], SMALL)).max() < 1e-3


@pytest.mark.parametrize('walls', [WALL, CORNER[:1], CORNER[:2]], ids=['wall', 'slant', 'edge'])
@pytest.mark.parametrize('sigma', [0.0, 0.003], ids=['exact', 'noisy'])
def test_what_leaves_a_direction_open_is_no_fit(walls: np.ndarray, sigma: float) -> None:
    assert not aligned(depth_of(walls, sigma=sigma), depth_of(walls, SMALL, sigma, 1))


def test_unknown_depth_is_no_fit() -> None:
    unknown = estimate_of(np.zeros((CAMERA.height, CAMERA.width)), 0.0)
    assert not aligned(depth_of(CORNER), unknown)


def test_a_room_that_is_not_the_same_does_not_agree() -> None:
    other = CORNER * (1.0, 1.0, 1.0, 0.6)
    fits = aligned(depth_of(CORNER), depth_of(other))
    assert all(fit.agreement < 0.9 for fit in fits)


def normalised_errors(block: int) -> np.ndarray:
    """Return squared errors in units of variance; so many pixels square share an error."""
    surface, squares = surface_of(depth_of(CORNER), CPU), []
    true = true_inverse(CAMERA, CORNER, SMALL)
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(
            0.0, 0.002, (240 // block + 1, 320 // block + 1)
        )
        spread = np.kron(noise, np.ones((block, block)))[:240, :320]
        target = estimate_of(true + spread, 0.002)
        start = torch.from_numpy(SMALL[None])
        fit = align_surface(SurfaceTerm(surface, target), start)[0]
        off = error(fit, SMALL)
        squares.append(off @ np.linalg.solve(fit.covariance.numpy(), off) / 6.0)
    return np.array(squares)


def test_covariance_is_that_of_errors_that_patches_share() -> None:
    """Of 22 x 22 pixels, or ten patches, as depth cameras have them."""
    assert 0.4 < normalised_errors(22).mean() < 2.5


def test_covariance_errs_on_the_safe_side_where_each_pixel_errs_alone() -> None:
    assert 0.03 < normalised_errors(1).mean() < 0.4


def test_covariance_is_the_inverse_of_the_hessian() -> None:
    fit = aligned(depth_of(CORNER, sigma=0.002), depth_of(CORNER, SMALL, 0.002, 1))[0]
    eye = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(fit.covariance @ fit.hessian, eye, atol=1e-6, rtol=0.0)
    assert 1.0 <= fit.condition < 3e3
