# SPDX-License-Identifier: Apache-2.0
"""Planes fitted to depth: where they are, which way they face, how sure that is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import CAMERA, CORNER, WALL, depth_of, estimate_of, rays_of, seen_from, true_inverse

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.odometry.surface_patches import KeyframeSurface, surface_of

CPU = torch.device('cpu')
TINY = CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5)
OBLONG = CameraModel(320, 240, 250.0, 180.0, 150.0, 110.0)
# Two walls that meet at five degrees.
SHALLOW = np.array([[0.0436, 0.0, 0.99905, 2.0], [-0.0436, 0.0, 0.99905, 2.0]])
TILTED = se3.exp(np.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.2]))


def surface(depth: DepthEstimate) -> KeyframeSurface:
    return surface_of(depth, CPU)


def pixels_of(found: KeyframeSurface, camera: CameraModel = CAMERA) -> np.ndarray:
    points = found.points.numpy()
    return points[:, :2] / points[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)


@pytest.mark.parametrize('camera', [CAMERA, TINY, OBLONG], ids=['qvga', 'tiny', 'oblong'])
def test_patches_of_a_wall_are_that_wall(camera: CameraModel) -> None:
    found = surface(depth_of(WALL, TILTED, camera=camera))
    true = seen_from(WALL, TILTED)
    assert len(found) > 900
    np.testing.assert_allclose(found.planes, np.repeat(true, len(found), 0), atol=2e-5)
    np.testing.assert_allclose((found.points * found.planes).sum(1), 1.0, atol=1e-9)
    pixels = pixels_of(found, camera)
    np.testing.assert_allclose(pixels, pixels.round(), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_any_wall_ahead_is_found(seed: int) -> None:
    turn = np.random.default_rng(seed).uniform(-0.5, 0.5, 6)
    found = surface(depth_of(WALL, se3.exp(turn), camera=TINY))
    assert len(found)
    true = np.repeat(seen_from(WALL, se3.exp(turn)), len(found), 0)
    np.testing.assert_allclose(found.planes, true, atol=5e-4)


def test_patches_of_a_corner_lie_on_its_walls() -> None:
    found = surface(depth_of(CORNER))
    distance = np.abs(found.points.numpy() @ seen_from(CORNER, np.eye(4)).T - 1.0)
    gap = found.planes.numpy()[:, None] - seen_from(CORNER, np.eye(4))
    on_wall = np.linalg.norm(gap, axis=2).min(1) < 1e-4
    assert on_wall.mean() > 0.85
    assert distance.min(1).max() < 0.02
    assert {int(k) for k in distance.argmin(1)} == {0, 1, 2}


@pytest.mark.parametrize('walls', [CORNER, SHALLOW], ids=['corner', 'shallow'])
def test_next_to_a_bend_only_the_near_pixels_count(walls: np.ndarray) -> None:
    """Five pixels from where walls meet, a wide patch would be bent."""
    found = surface(depth_of(walls))
    planes = seen_from(walls, np.eye(4))
    wall = (rays_of(CAMERA) @ planes.T).argmax(-1)
    column, row = pixels_of(found).round().astype(int).T

    def of_one_wall(half: int) -> np.ndarray:
        padded = np.pad(wall, half, mode='edge')
        around = np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1,) * 2)
        return np.ptp(around[row, column], axis=(1, 2)) == 0

    close = of_one_wall(4) & ~of_one_wall(12)
    assert close.sum() > 50
    error = np.linalg.norm(found.planes.numpy()[:, None] - planes, axis=2).min(1)
    assert error[close].max() < 1e-4


def test_patches_of_a_ball_face_away_from_its_middle() -> None:
    middle, radius = np.array([0.1, -0.05, 2.0]), 0.7
    ray = rays_of(CAMERA)
    along, square = ray @ middle, (ray**2).sum(-1)
    root = along**2 - square * (middle @ middle - radius**2)
    hit = root > 0
    z = (along - np.sqrt(np.where(hit, root, 0.0))) / square
    found = surface(estimate_of(np.where(hit, 1.0 / z, 0.0), 0.0))
    assert len(found) > 300
    out = found.points.numpy() - middle
    assert np.abs(np.linalg.norm(out, axis=1) - radius).max() < 0.01
    normal = -found.planes.numpy()
    cosine = (out * normal).sum(1) / np.linalg.norm(out, axis=1) / np.linalg.norm(normal, axis=1)
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 5.0


@pytest.mark.parametrize('camera', [CAMERA, TINY], ids=['qvga', 'tiny'])
@pytest.mark.parametrize('holes', [0.0, 0.25], ids=['whole', 'holes'])
def test_slopes_are_as_unsure_as_stated(camera: CameraModel, holes: float) -> None:
    """Mean squared error of the slopes in units of their variance, over many noisy walls."""
    rng, true = np.random.default_rng(0), seen_from(WALL, TILTED)
    errors, stated = [], []
    for seed in range(5):
        depth = depth_of(WALL, TILTED, 0.002, seed, camera)
        unknown = rng.uniform(size=depth.inverse_depth.shape) < holes
        inverse = np.where(unknown, 0.0, depth.inverse_depth)
        found = surface(estimate_of(inverse, 0.002, camera))
        errors.append(found.planes.numpy()[:, :2] - true[:, :2])
        stated.append(found.slope_variance.numpy())
    squares = np.concatenate(errors) ** 2 / np.concatenate(stated)[:, None]
    np.testing.assert_allclose(squares.mean(0), 1.0, atol=0.25)


def test_variance_is_that_of_one_measurement() -> None:
    found = surface(depth_of(WALL, sigma=0.004))
    assert float(found.variance.mean()) == pytest.approx(0.004**2, rel=0.1)


def test_noise_beyond_what_is_stated_is_seen() -> None:
    depth = depth_of(WALL, sigma=0.004)
    sure = dataclasses.replace(depth, variance=np.full_like(depth.variance, 1e-8))
    assert float(surface(sure).variance.mean()) == pytest.approx(0.004**2, rel=0.1)


def test_steps_are_left_out() -> None:
    inverse = np.full((CAMERA.height, CAMERA.width), 1.0)
    inverse[:, 160:] = 0.5
    found = surface(estimate_of(inverse, 0.0))
    z = found.points[:, 2].numpy()
    assert np.minimum(np.abs(z - 1.0), np.abs(z - 2.0)).max() < 1e-6
    np.testing.assert_allclose(found.planes[:, :2], 0.0, atol=1e-6)
    assert np.abs(pixels_of(found)[:, 0] - 159.5).min() >= 3.0
    assert len(found) > 1000


def test_noise_that_the_sensor_states_is_no_roughness() -> None:
    """Far walls are noisy: here by 4 % of the inverse depth."""
    far = np.array([[0.0, 0.0, 1.0, 8.0]])
    assert len(surface(depth_of(far, sigma=0.005))) > 900


def test_rough_things_are_left_out() -> None:
    rng = np.random.default_rng(0)
    leaves = 0.5 * np.exp(0.1 * rng.normal(size=(CAMERA.height, CAMERA.width)))
    assert not len(surface(estimate_of(leaves, 0.0)))


def test_what_is_seen_at_a_grazing_angle_is_left_out() -> None:
    floor = np.array([[0.0, 1.0, 0.0, 0.5]])
    found = surface(estimate_of(rays_of(CAMERA) @ seen_from(floor, np.eye(4))[0], 0.0))
    ray = found.points.numpy() / np.linalg.norm(found.points.numpy(), axis=1)[:, None]
    assert 0.15 < ray[:, 1].min() < 0.2
    assert pixels_of(found)[:, 1].min() > CAMERA.cy + 25


def test_no_plane_is_made_where_the_middle_is_unknown() -> None:
    """Nothing is known of its noise, so anything would confirm it."""
    inverse = true_inverse(CAMERA, WALL, np.eye(4))
    inverse[np.random.default_rng(0).uniform(size=inverse.shape) < 0.2] = 0.0
    depth = estimate_of(inverse, 0.002)
    found = surface(depth)
    column, row = pixels_of(found).round().astype(int).T
    assert len(found) > 800
    assert (depth.inverse_depth[row, column] > 0).all()
    assert bool(torch.isfinite(found.variance).all())


def test_holes_and_borders_are_left_out() -> None:
    inverse = true_inverse(CAMERA, WALL, np.eye(4))
    inverse[60:180, 100:220] = 0.0
    column, row = pixels_of(surface(estimate_of(inverse, 0.0))).T
    assert not ((column > 100) & (column < 219) & (row > 60) & (row < 179)).any()
    assert min(column.min(), row.min()) >= 1
    assert column.max() <= CAMERA.width - 2 and row.max() <= CAMERA.height - 2


@pytest.mark.parametrize('size', [(64, 48), (32, 32), (9, 9), (1, 1)])
def test_unknown_depth_of_any_size_gives_nothing(size: tuple[int, int]) -> None:
    camera = CAMERA.resized(*size)
    assert not len(surface(estimate_of(np.zeros(size[::-1]), 0.0, camera)))
