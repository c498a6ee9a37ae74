# SPDX-License-Identifier: Apache-2.0
"""Planes against measured depth: zero where it is true, and open where nothing is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import CAMERA, CORNER, WALL, depth_of, estimate_of, true_inverse

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.small_motion import small_motion
from flowcam_ros.odometry.surface import SurfaceMemory, SurfaceResiduals, SurfaceTerm
from flowcam_ros.odometry.surface_patches import surface_of

CPU = torch.device('cpu')
MOTION = se3.exp(np.array([0.08, -0.05, 0.06, 0.03, -0.06, 0.04]))
TINY = CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5)
WIDER = CameraModel(200, 160, 140.0, 130.0, 95.0, 81.0)


def tensor(pose: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pose)


def term(
    walls: np.ndarray = CORNER,
    motion: np.ndarray = MOTION,
    sigma: float = 0.0,
    seed: int = 0,
    source: CameraModel = CAMERA,
    target: CameraModel = CAMERA,
) -> SurfaceTerm:
    """Return the walls seen from the origin against those seen after a motion."""
    surface = surface_of(depth_of(walls, sigma=sigma, seed=2 * seed, camera=source), CPU)
    return SurfaceTerm(surface, depth_of(walls, motion, sigma, 2 * seed + 1, target))


def wrong(size: float, seed: int = 0) -> np.ndarray:
    """Return the pose after another small motion of the given length."""
    step = np.random.default_rng(seed).normal(size=6)
    return se3.exp(size * step / np.linalg.norm(step)) @ MOTION


CAMERAS = pytest.mark.parametrize(
    ('source', 'target'),
    [(CAMERA, CAMERA), (CAMERA, WIDER), (WIDER, CAMERA), (TINY, TINY)],
    ids=['alike', 'other target', 'other source', 'tiny'],
)


@CAMERAS
def test_at_the_true_pose_all_planes_lie_on_the_depth(
    source: CameraModel, target: CameraModel
) -> None:
    at = term(source=source, target=target).residuals(tensor(MOTION))
    flat = at.residual[at.known].abs()
    assert float(flat.quantile(0.8)) < 1e-4
    assert int(at.known.sum()) > 500
    assert at.agreement > 0.98


@CAMERAS
def test_at_a_wrong_pose_few_do(source: CameraModel, target: CameraModel) -> None:
    compared = term(source=source, target=target)
    turned = compared.residuals(tensor(wrong(0.3)))
    assert turned.agreement < 0.6
    assert compared.residuals(tensor(np.diag([-1.0, 1.0, -1.0, 1.0]))).agreement == 0.0


def test_noise_takes_nothing_from_agreement() -> None:
    assert term(sigma=0.004).residuals(tensor(MOTION)).agreement > 0.95


def test_scale_is_that_of_the_errors() -> None:
    known = term(sigma=0.004).residuals(tensor(MOTION))
    assert known.scale == pytest.approx(1.0, abs=0.15)
    surface = surface_of(depth_of(CORNER), CPU)
    depth = depth_of(CORNER, MOTION, 0.004)
    sure = dataclasses.replace(depth, variance=depth.variance / 9.0)
    assert SurfaceTerm(surface, sure).residuals(tensor(MOTION)).scale == pytest.approx(3, abs=0.4)
    unsure = dataclasses.replace(depth, variance=depth.variance * 100.0)
    assert SurfaceTerm(surface, unsure).residuals(tensor(MOTION)).scale == 0.5


def test_derivatives_match_finite_differences() -> None:
    compared, pose, h = term(), tensor(wrong(0.02)), 1e-7
    at = compared.residuals(pose)
    for axis in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[axis] = h
        moved = compared.residuals(small_motion(step) @ pose)
        same = at.known & moved.known & (moved.ray == at.ray).all(0)
        assert int(same.sum()) > 0.9 * int(at.known.sum())
        numeric = (moved.residual - at.residual) / h
        torch.testing.assert_close(at.by_motion[axis][same], numeric[same], atol=1e-5, rtol=1e-5)


def test_normal_equations_point_back_to_the_truth() -> None:
    compared, pose = term(), tensor(wrong(0.02))
    for _ in range(6):
        hessian, gradient = compared.residuals(pose).normal_equations()
        pose = small_motion(torch.linalg.solve(hessian, -gradient)) @ pose
    np.testing.assert_allclose(pose, MOTION, atol=2e-4)


def test_improvement_is_how_much_the_cost_falls() -> None:
    compared = term(sigma=0.004)
    true, near, far = (compared.residuals(tensor(p)) for p in (MOTION, wrong(0.01), wrong(0.03)))
    assert far.improvement(near) > 0 > true.improvement(near)
    assert true.improvement(true) == 0.0


def test_a_term_counts_as_often_as_it_is_told() -> None:
    compared, pose = term(sigma=0.004), tensor(wrong(0.01))
    once, thrice = compared.residuals(pose), compared.counted(3.0).residuals(pose)
    for of_once, of_thrice in (
        *zip(once.normal_equations(), thrice.normal_equations(), strict=True),
        *zip(once.belief(), thrice.belief(), strict=True),
    ):
        torch.testing.assert_close(of_thrice, 3.0 * of_once, rtol=1e-6, atol=1e-4)
    true = compared.residuals(tensor(MOTION))
    assert thrice.improvement(true) == pytest.approx(3.0 * once.improvement(true))


def share_of_sliding(at: SurfaceResiduals) -> np.ndarray:
    """Return what belief keeps of the information on each axis."""
    return (at.belief()[0].diagonal() / at.normal_equations()[0].diagonal()).numpy()


def test_a_single_wall_tells_nothing_of_sliding_along_it() -> None:
    """Seen straight on: two shifts and the turn about the line of sight are open."""
    at = term(WALL, np.eye(4), 0.004).residuals(tensor(np.eye(4)))
    hessian, _ = at.normal_equations()
    assert float(hessian[0, 0]) > 100.0  # noisy normals seem to tell
    share = share_of_sliding(at)
    assert share[[0, 1, 5]].max() < 0.05
    assert share[[2, 3, 4]].min() > 0.9


def test_two_walls_tell_nothing_of_sliding_along_their_edge() -> None:
    upright = CORNER[:2]
    at = term(upright, np.eye(4), 0.004).residuals(tensor(np.eye(4)))
    share = share_of_sliding(at)
    assert share[1] < 0.05
    assert share[[0, 2, 3, 4]].min() > 0.8


def test_a_corner_tells_all() -> None:
    assert share_of_sliding(term(sigma=0.004).residuals(tensor(MOTION))).min() > 0.8


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([WALL, CORNER, CORNER[:2]]))
def test_belief_is_less_and_its_best_motion_the_same(seed: int, walls: np.ndarray) -> None:
    compared = term(walls, sigma=0.003, seed=seed, source=TINY, target=TINY)
    at = compared.residuals(tensor(wrong(0.02, seed)))
    hessian, gradient = at.normal_equations()
    kept, pull = at.belief()
    top = float(hessian.diagonal().max())
    assert float(torch.linalg.eigvalsh(kept)[0]) > -1e-7 * top
    assert float(torch.linalg.eigvalsh(hessian - kept)[0]) > -1e-7 * top
    best = torch.linalg.solve(hessian, -gradient)
    size = float(gradient.abs().max())
    torch.testing.assert_close(kept @ best, -pull, rtol=1e-3, atol=1e-5 * size)


def test_few_planes_in_view_agree_on_nothing() -> None:
    inverse = true_inverse(CAMERA, CORNER, np.eye(4))
    inverse[:, 60:] = 0.0
    surface = surface_of(depth_of(CORNER), CPU)
    at = SurfaceTerm(surface, estimate_of(inverse, 0.0)).residuals(tensor(np.eye(4)))
    assert int(at.known.sum()) > 100
    assert at.agreement == 0.0


@pytest.mark.parametrize('known', [0, 1, 2, 5])
def test_hardly_any_depth_makes_no_nan(known: int) -> None:
    """A camera that is covered: nothing is said, and nothing breaks."""
    inverse = np.zeros((CAMERA.height, CAMERA.width))
    surface = surface_of(depth_of(CORNER, sigma=0.003), CPU)
    true = true_inverse(CAMERA, CORNER, np.eye(4))
    for x, y, z in surface.points.numpy()[100 : 100 + 97 * known : 97]:
        at_pixel = round(y / z * CAMERA.fy + CAMERA.cy), round(x / z * CAMERA.fx + CAMERA.cx)
        inverse[at_pixel] = true[at_pixel]
    at = SurfaceTerm(surface, estimate_of(inverse, 0.003)).residuals(tensor(np.eye(4)))
    assert int(at.known.sum()) == known
    assert at.agreement == 0.0
    assert np.isfinite(at.scale)
    for values in (*at.normal_equations(), *at.belief()):
        assert bool(torch.isfinite(values).all())
    assert np.isfinite(at.improvement(at))
    if not known:
        assert not bool(at.normal_equations()[0].any())


def test_planes_behind_something_are_not_compared() -> None:
    """A hand before the camera covers half the room."""
    inverse = true_inverse(CAMERA, CORNER, np.eye(4))
    inverse[:, :160] = 3.0
    surface = surface_of(depth_of(CORNER), CPU)
    at = SurfaceTerm(surface, estimate_of(inverse, 0.0)).residuals(tensor(np.eye(4)))
    covered = at.ray[0] < 0
    assert not bool(at.known[covered].any())
    assert float(at.known[~covered].double().mean()) > 0.99
    assert 0.4 < at.agreement < 0.6


def test_planes_seen_from_behind_are_not_compared() -> None:
    """From beyond the wall its other side is seen, where the plane is, too."""
    beyond = se3.exp(np.array([0, 0, 4.0, 0, 0, 0.0])) @ np.diag([-1.0, 1.0, -1.0, 1.0])
    at = SurfaceTerm(surface_of(depth_of(WALL), CPU), depth_of(WALL)).residuals(tensor(beyond))
    assert not bool(at.known.any())
    assert at.agreement == 0.0


def test_planes_seen_at_a_grazing_angle_are_not_compared() -> None:
    """From 20 cm beside a wall, along it: what is 1.6 m away is seen at 7 degrees."""
    along = np.array([[0.0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    beside = along @ se3.exp(np.array([1.5, 0, -1.8, 0, 0, 0.0]))
    surface = surface_of(depth_of(WALL), CPU)
    at = SurfaceTerm(surface, depth_of(WALL, beside)).residuals(tensor(beside))
    away = (surface.points - tensor(se3.inverse(beside)[:3, 3])).norm(dim=1)
    seen = at.ray[0].abs() < 0.6
    assert int(at.known.sum()) > 20
    assert float(away[at.known].max()) < 1.6
    assert bool((seen & (away > 1.6)).any())


@pytest.mark.parametrize('motion', [np.eye(4), MOTION], ids=['still', 'moved'])
def test_the_true_pose_misfits_least(motion: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    others = [se3.exp(rng.normal(0, 0.1, 6)) @ motion for _ in range(40)]
    misfit = term(motion=motion, sigma=0.004).misfit(tensor(np.stack([motion, *others])))
    assert int(misfit.argmin()) == 0
    assert float(misfit[0]) < 0.1 < float(misfit[1:].median())


def test_a_pose_that_looks_away_misfits_wholly() -> None:
    away = np.diag([-1.0, 1.0, -1.0, 1.0])
    assert float(term().misfit(tensor(away[None]))) == 1.0


def test_surfaces_are_made_once_and_three_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(depth: object, device: object) -> object:
        made.append(depth)
        return surface_of(depth, device)  # type: ignore[arg-type]

    monkeypatch.setattr('flowcam_ros.odometry.surface.surface_of', counted)
    memory = SurfaceMemory(CPU)
    depths = [depth_of(CORNER, seed=k, sigma=1e-4) for k in range(4)]
    for _ in range(3):
        assert memory.term(depths[0], depths[1]) is not None
    assert len(made) == 1
    for depth in depths[1:]:
        memory.term(depth, depths[0])
    memory.term(depths[3], depths[0])
    assert len(made) == 4
    memory.term(depths[0], depths[1])
    assert len(made) == 5


def test_without_depth_there_is_no_term() -> None:
    memory, seen = SurfaceMemory(CPU), depth_of(CORNER)
    unknown = estimate_of(np.zeros((CAMERA.height, CAMERA.width)), 0.0)
    assert memory.term(seen, None) is None
    assert memory.term(unknown, seen) is None


def test_depth_in_any_memory_order_is_taken() -> None:
    depth = depth_of(CORNER, MOTION)
    turned = dataclasses.replace(
        depth,
        inverse_depth=np.asfortranarray(depth.inverse_depth),
        variance=np.asfortranarray(depth.variance),
    )
    at = SurfaceTerm(surface_of(depth_of(CORNER), CPU), turned).residuals(tensor(MOTION))
    assert at.agreement > 0.98
