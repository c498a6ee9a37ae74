# SPDX-License-Identifier: Apache-2.0
"""Depth of another camera: exact against ray casting, occlusions right, nothing invented."""

import dataclasses

import numpy as np
import pytest

from flowcam_ros.depth.registration import Registration, reduced
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel

COLOR = CameraModel(320, 240, 262.0, 264.0, 160.5, 118.0)
# 5 cm beside, turned a little, other intrinsics, another size
DEPTH = CameraModel(256, 212, 182.5, 183.0, 127.0, 105.5)
COLOR_FROM_DEPTH = se3.exp(np.array([-0.05, 0.002, 0.004, 0.01, -0.015, 0.008]))

# Surfaces in the axes of the colour camera: a slanted wall, and a box front before it.
WALL_NORMAL, WALL_DISTANCE = np.array([0.15, -0.1, 0.98]), 2.5
FRONT_Z, FRONT = 1.0, (-0.25, 0.3, -0.2, 0.25)  # depth; x and y limits


def cast(camera: CameraModel, color_from_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return inverse depth in a camera, and whether the pixel shows the front."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(x.shape)], -1
    )
    rotation, centre = color_from_camera[:3, :3], color_from_camera[:3, 3]
    along = rays @ rotation.T
    wall = (along @ WALL_NORMAL) / (WALL_DISTANCE - WALL_NORMAL @ centre)
    front = along[..., 2] / (FRONT_Z - centre[2])
    at = centre + along / front[..., None]
    left, right, top, bottom = FRONT
    hit = (at[..., 0] > left) & (at[..., 0] < right) & (at[..., 1] > top) & (at[..., 1] < bottom)
    return np.where(hit, front, wall), hit


def registered(
    source: CameraModel, target: CameraModel, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    inverse, front = cast(source, pose)
    # the variance says which surface a pixel was taken from
    variance = np.where(front, 1e-6, 4e-6).astype(np.float32)
    return Registration(source, target, pose).move(inverse.astype(np.float32), variance)


def around(mask: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(mask, radius, mode='edge')
    size = 2 * radius + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).any((2, 3))


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0], ids=['coarser', 'alike', 'finer'])
def test_every_pixel_shows_the_surface_that_the_color_camera_sees(factor: float) -> None:
    target = COLOR.resized(int(COLOR.width * factor), int(COLOR.height * factor))
    source = reduced(DEPTH, target)
    inverse, variance = registered(source, target, COLOR_FROM_DEPTH)
    truth, front = cast(target, np.eye(4))
    known = inverse > 0
    # no pixel is between the surfaces: away from the outline each has its own surface's depth
    radius = int(np.ceil(max(1.0, target.fx / source.fx)))
    outline = around(front, radius) & around(~front, radius)
    relative = np.abs(inverse / truth - 1)
    assert relative[known & ~outline].max() < 0.01  # a pixel of slope
    # and at the outline, that of one of both
    wall_only = np.abs(inverse * FRONT_Z - 1) > 0.01
    assert inverse[known & outline & wall_only].max() < 0.5
    # the variance came with the depth
    near = inverse > 0.7
    np.testing.assert_allclose(variance[known & near], 1e-6, rtol=0.1)
    np.testing.assert_allclose(variance[known & ~near], 4e-6, rtol=0.2)
    assert np.isinf(variance[~known]).all()


def test_only_what_the_depth_camera_could_not_see_is_unknown() -> None:
    inverse, _ = registered(DEPTH, COLOR, COLOR_FROM_DEPTH)
    truth, front = cast(COLOR, np.eye(4))
    # where each colour pixel's point lies in the depth image, and what is seen there
    x, y = np.meshgrid(np.arange(COLOR.width), np.arange(COLOR.height))
    rays = np.stack([(x - COLOR.cx) / COLOR.fx, (y - COLOR.cy) / COLOR.fy, np.ones(x.shape)], -1)
    back = np.linalg.inv(COLOR_FROM_DEPTH)
    points = (rays / truth[..., None]) @ back[:3, :3].T + back[:3, 3]
    u = np.rint(DEPTH.fx * points[..., 0] / points[..., 2] + DEPTH.cx).astype(int)
    v = np.rint(DEPTH.fy * points[..., 1] / points[..., 2] + DEPTH.cy).astype(int)
    inside = (u > 1) & (v > 1) & (u < DEPTH.width - 2) & (v < DEPTH.height - 2)
    _, front_in_depth = cast(DEPTH, COLOR_FROM_DEPTH)
    seen_there = front_in_depth[v.clip(0, DEPTH.height - 1), u.clip(0, DEPTH.width - 1)]
    outline = around(front, 2) & around(~front, 2)
    visible = inside & (seen_there == front) & ~outline
    assert (inverse[visible] > 0).mean() > 0.999
    hidden = inside & seen_there & ~front & ~outline
    assert hidden.sum() > 100
    # the strip beside the box that only the colour camera sees; its rims are a pixel wide
    assert (inverse[hidden] > 0).mean() < 0.2


def test_a_far_surface_does_not_shine_through_a_near_one() -> None:
    """Coming nearer widens the near surface more than its pixels reach."""
    camera = dataclasses.replace(COLOR, fx=262.0, fy=262.0)
    nearer = se3.exp(np.array([0.0, 0.0, -0.12, 0, 0, 0]))
    inverse, _ = registered(camera, camera, nearer)
    _, front = cast(camera, np.eye(4))
    inner = front & ~around(~front, 3)
    assert (inverse[inner] > 0.9).mean() > 0.995


def test_points_behind_the_camera_and_unknown_ones_go_nowhere() -> None:
    inverse = np.zeros((212, 256), np.float32)
    inverse[100, 100] = 5.0
    behind = se3.exp(np.array([0, 0, -1.0, 0, 0, 0]))
    result, variance = Registration(DEPTH, COLOR, behind).move(inverse, np.ones_like(inverse))
    assert (result == 0).all()
    assert np.isinf(variance).all()


def test_one_place_is_a_plain_look_up() -> None:
    rng = np.random.default_rng(0)
    inverse = rng.uniform(0.2, 2.0, (212, 256)).astype(np.float32)
    result, _ = Registration(DEPTH, COLOR, np.eye(4)).move(inverse, np.ones_like(inverse))
    x = np.rint((np.arange(320) - 160.5) / 262.0 * 182.5 + 127.0).astype(int)
    y = np.rint((np.arange(240) - 118.0) / 264.0 * 183.0 + 105.5).astype(int)
    inside = ((y >= 0) & (y < 212))[:, None] & ((x >= 0) & (x < 256))
    expected = inverse[y.clip(0, 211)[:, None], x.clip(0, 255)]
    np.testing.assert_array_equal(result, np.where(inside, expected, 0.0))
