# SPDX-License-Identifier: Apache-2.0
"""The renderer against a plain ray caster, and what it does to textures."""

from __future__ import annotations

import numpy as np
import pytest

from flowcam_ros.errors import CameraError
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import pixel_rays
from flowcam_ros.sequences.synthetic.lens import Lens
from flowcam_ros.sequences.synthetic.raster import Raster, render
from flowcam_ros.sequences.synthetic.scene import Scene
from flowcam_ros.sequences.synthetic.surfaces import Ball, Body, Panel

PINHOLE = CameraModel(100, 75, 80.0, 82.0, 49.0, 38.0)
BARREL = CameraModel(100, 75, 80.0, 82.0, 49.0, 38.0, 'plumb_bob', (-0.28, 0.08, 1e-3, 0, 0))
FISHEYE = CameraModel(100, 75, 60.0, 60.0, 49.5, 37.0, 'equidistant', (0.01, 0.0, 0.0, 0.0))


def plain(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


def random_bodies(seed: int, panels: int = 40, balls: int = 6) -> list[Body]:
    rng = np.random.default_rng(seed)
    bodies = [Body(), Body()]
    for k in range(panels):
        corner, across = rng.uniform(-3, 3, 3), rng.normal(0, 1.5, 3)
        down = np.cross(across, rng.normal(0, 1, 3)) * rng.uniform(0.05, 1)
        bodies[k % 2].panels.append(Panel(corner, across, down, plain(k)))
    for k in range(balls):
        bodies[k % 2].balls.append(Ball(rng.uniform(-3, 3, 3), rng.uniform(0.1, 0.8), plain(200)))
    return bodies


def cast(bodies: list[Body], poses: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth and body per ray, one surface after another, in double precision."""
    w, number = np.zeros(rays.shape[:2]), np.zeros(rays.shape[:2], int)
    solid = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
    for k, (body, pose) in enumerate(zip(bodies, poses, strict=True)):
        for panel in body.panels:
            corner = pose[:3, :3] @ panel.corner + pose[:3, 3]
            across, down = pose[:3, :3] @ panel.across, pose[:3, :3] @ panel.down
            normal = np.cross(across, down)
            distance = normal @ corner
            if distance <= 0:
                continue
            here = solid @ normal / distance
            with np.errstate(divide='ignore', invalid='ignore'):
                spot = solid / here[..., None] - corner
                u, v = spot @ across / (across @ across), spot @ down / (down @ down)
            hit = (here > w) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
            w[hit], number[hit] = here[hit], k
        for ball in body.balls:
            centre = pose[:3, :3] @ ball.centre + pose[:3, 3]
            square, along = (solid * solid).sum(-1), solid @ centre
            inside = along**2 - square * (centre @ centre - ball.radius**2)
            if centre @ centre <= ball.radius**2 or centre[2] <= 0:
                continue
            here = square / np.maximum(along - np.sqrt(np.maximum(inside, 0)), 1e-9)
            hit = (inside > 0) & (along > 0) & (here > w)
            w[hit], number[hit] = here[hit], k
    return np.divide(1.0, w, out=np.zeros_like(w), where=w > 0), number


def pose_of(seed: int) -> np.ndarray:
    return se3.exp(np.random.default_rng(seed).normal(0, 0.7, 6))


@pytest.mark.parametrize('camera', [PINHOLE, BARREL, FISHEYE])
@pytest.mark.parametrize('seed', range(6))
def test_depth_and_body_are_those_of_a_ray_caster(camera: CameraModel, seed: int) -> None:
    bodies = random_bodies(seed)
    poses = np.stack([pose_of(seed), pose_of(seed + 100)])
    raster = render(Scene(bodies), Lens(camera), poses)
    depth, body = cast(bodies, poses, pixel_rays(camera))
    same = np.abs(raster.depth - depth) <= 2e-4 * np.maximum(depth, 1)
    # A ray that meets an edge to within single precision may go either way.
    assert same.mean() > 0.999
    assert (raster.body == body)[same & (depth > 0)].all()
    assert (depth > 0).mean() > 0.05


def wall(picture: np.ndarray, distance: float = 2.0, size: float = 8.0) -> Scene:
    half = 0.5 * size
    corner = np.array([-half, -half, distance])
    panel = Panel(corner, np.array([size, 0, 0]), np.array([0, size, 0]), picture)
    return Scene([Body(panels=[panel])])


def shot(scene: Scene, camera: CameraModel = PINHOLE, x: float = 0.0) -> Raster:
    pose = np.eye(4)
    pose[0, 3] = -x
    return render(scene, Lens(camera), pose[None])


def test_a_picture_hangs_the_right_way_round() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32], picture[:32, 32:], picture[32:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    image = shot(wall(picture, size=2.0)).image
    for (row, column), colour in {
        (20, 30): (255, 0, 0),
        (20, 70): (0, 255, 0),
        (60, 30): (0, 0, 255),
        (60, 70): (0, 0, 0),
    }.items():
        assert tuple(image[row, column]) == colour


def test_texture_is_placed_to_a_small_part_of_a_pixel() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (8, 1, 3))
    image = shot(wall(ramp, size=4.0)).image[..., 0].astype(float)
    x = (np.arange(100) - PINHOLE.cx) / PINHOLE.fx * 2.0
    expected = (x + 2.0) / 4.0 * 256 - 0.5
    assert np.abs(image - expected).max() < 0.8


def test_detail_finer_than_a_pixel_is_averaged_not_aliased() -> None:
    squares = np.indices((1024, 1024)).sum(0) % 2 * 255
    picture = np.repeat(squares[..., None], 3, axis=2).astype(np.uint8)
    first, second = (shot(wall(picture), x=x).image.astype(float) for x in (0.0, 0.0037))
    assert first.std() < 2.0
    assert abs(first.mean() - 127.5) < 2.0
    assert np.abs(first - second).max() < 6.0


def test_a_slanted_floor_does_not_shimmer() -> None:
    rng = np.random.default_rng(0)
    picture = np.repeat(rng.integers(0, 256, (1024, 1024, 1), np.uint8), 3, axis=2)
    corner, across = np.array([-10.0, 1.0, 20.5]), np.array([20.0, 0, 0])
    scene = Scene([Body(panels=[Panel(corner, across, np.array([0.0, 0, -20.0]), picture)])])
    image = shot(scene).image.astype(float)
    far = image[46:50]
    near = image[70:]
    assert (shot(scene).depth[46:50] > 5).all()
    assert far.std() < 0.35 * near.std()


def test_edges_are_smooth() -> None:
    panel = Panel(
        np.array([-0.51, -4.0, 2.0]), np.array([1.0, 0.1, 0]), np.array([-0.5, 8, 0]), plain(255)
    )
    image = shot(Scene([Body(panels=[panel])])).image[..., 0]
    between = (image > 20) & (image < 235)
    assert between.any(1).all()


@pytest.mark.parametrize('seed', range(8))
def test_walls_that_meet_leave_no_slit(seed: int) -> None:
    room = Body()
    for k in range(6):
        axis, sign = k % 3, 1.0 if k < 3 else -1.0
        outward, across = np.zeros(3), np.zeros(3)
        outward[axis], across[(axis + 1) % 3] = sign, 1.0
        down = np.cross(outward, across)
        room.panels.append(Panel(outward - across - down, 2 * across, 2 * down, plain(255)))
    pose = pose_of(seed)
    pose[:3, 3] *= 0.3
    raster = render(Scene([room]), Lens(PINHOLE), pose[None])
    assert raster.depth.all()
    assert (raster.image == 255).all()


def test_nothing_there_is_black_and_without_depth() -> None:
    raster = shot(wall(plain(255), distance=-2.0))
    assert not raster.image.any()
    assert not raster.depth.any()


def test_a_lens_that_turns_back_inside_the_image_is_refused() -> None:
    with pytest.raises(CameraError, match='turns back'):
        Lens(CameraModel(100, 75, 40, 40, 50, 37, 'plumb_bob', (-0.6, 0, 0, 0, 0)))
