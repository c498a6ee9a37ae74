# SPDX-License-Identifier: Apache-2.0
"""The robust fit: exact on exact data, calibrated on noisy data, blind to outliers."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.odometry.pose_problem import PoseProblem
from flowcam_ros.odometry.pose_solver import PoseFit, fit_pose, fit_rotation
from flowcam_ros.odometry.reprojection import derivatives
from flowcam_ros.odometry.scene_flow import Correspondences, closed_form_pose

CAMERA = CameraModel(640, 480, 500.0, 500.0, 320.0, 240.0)
MOTION = se3.exp(np.array([0.1, -0.05, 0.08, 0.02, -0.03, 0.04]))


def scene(
    seed: int = 0,
    count: int = 300,
    motion: np.ndarray = MOTION,
    pixel_sigma: float = 0.2,
    depth_sigma: float = 0.002,
    target_depth: bool = True,
) -> Correspondences:
    """Return points seen twice, with noise of just the stated variances."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    size = torch.tensor([640.0, 480.0], dtype=torch.float64)
    source = torch.rand(count, 2, dtype=torch.float64, generator=generator) * size
    inverse = 0.2 + 0.8 * torch.rand(count, dtype=torch.float64, generator=generator)
    pose = torch.from_numpy(motion)
    moved = (rays(CAMERA, source) / inverse.unsqueeze(-1)) @ pose[:3, :3].T + pose[:3, 3]
    ones = torch.ones(count, dtype=torch.float64)
    target_inverse = 1.0 / moved[:, 2] + depth_sigma * noise(count)
    return Correspondences(
        source=source,
        target=project(CAMERA, moved) + pixel_sigma * noise(count, 2),
        pixel_variance=ones * max(pixel_sigma, 1e-3) ** 2,
        inverse_depth=inverse + depth_sigma * noise(count),
        inverse_depth_variance=ones * max(depth_sigma, 1e-5) ** 2,
        target_inverse_depth=target_inverse if target_depth else torch.zeros_like(ones),
        target_inverse_depth_variance=ones * max(depth_sigma, 1e-5) ** 2,
    )


def fit(points: Correspondences, start: np.ndarray | None = None, iterations: int = 20) -> PoseFit:
    first = np.eye(4) if start is None else start
    return fit_pose(PoseProblem(points, CAMERA), torch.from_numpy(first), iterations)


def error(result: PoseFit, motion: np.ndarray = MOTION) -> np.ndarray:
    """Return the small motion on the left that the estimate lacks."""
    return se3.log(motion @ se3.inverse(result.target_from_source.numpy()))


@pytest.mark.parametrize('target_depth', [True, False], ids=['both depths', 'source depth'])
def test_exact_data_gives_the_exact_pose(target_depth: bool) -> None:
    points = scene(pixel_sigma=0.0, depth_sigma=0.0, target_depth=target_depth)
    assert np.abs(error(fit(points))).max() < 1e-6


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_closed_form_finds_exact_motion_and_rough_noisy_motion(seed: int) -> None:
    exact = closed_form_pose(scene(seed, pixel_sigma=0.0, depth_sigma=0.0), CAMERA)
    assert exact is not None
    np.testing.assert_allclose(exact.numpy(), MOTION, atol=1e-6)
    rough = closed_form_pose(scene(seed), CAMERA)
    assert rough is not None
    np.testing.assert_allclose(rough.numpy(), MOTION, atol=0.02)


def test_closed_form_says_when_it_cannot() -> None:
    assert closed_form_pose(scene(target_depth=False), CAMERA) is None
    assert closed_form_pose(scene(count=5), CAMERA) is None


@pytest.mark.parametrize('target_depth', [True, False], ids=['both depths', 'source depth'])
def test_covariance_is_calibrated(target_depth: bool) -> None:
    """The mean squared error in units of the covariance (ANEES / 6) is about one."""
    values = []
    for seed in range(60):
        result = fit(scene(seed, count=150, target_depth=target_depth))
        e = error(result)
        values.append(e @ np.linalg.solve(result.covariance.numpy(), e) / 6.0)
    assert 0.6 < np.mean(values) < 1.6


def test_a_third_of_wild_matches_hardly_moves_the_pose() -> None:
    points = scene()
    target = points.target.clone()
    target[::3] += 60.0 * torch.randn(target[::3].shape, dtype=torch.float64)
    result = fit(dataclasses.replace(points, target=target))
    assert np.abs(error(result)).max() < 0.005
    assert float(result.weights[::3].mean()) < 0.3 < float(result.weights[1::3].mean())


def test_a_moving_thing_is_left_out() -> None:
    points = scene(count=400)
    target = points.target.clone()
    target[:120] += torch.tensor([15.0, -8.0], dtype=torch.float64)  # moves as one
    assert np.abs(error(fit(dataclasses.replace(points, target=target)))).max() < 0.01


def test_wrong_target_depth_does_not_spoil_good_flow() -> None:
    points = scene()
    wrong = points.target_inverse_depth.clone()
    wrong[::2] *= 1.5
    result = fit(dataclasses.replace(points, target_inverse_depth=wrong))
    assert np.abs(error(result)).max() < 0.01


def test_unknown_depth_still_gives_rotation_and_direction() -> None:
    """With hardly known depths the fit is a robust epipolar one; the length is a guess."""
    points = scene(pixel_sigma=0.05, target_depth=False)
    ones = torch.ones_like(points.inverse_depth)
    vague = dataclasses.replace(
        points, inverse_depth=0.6 * ones, inverse_depth_variance=0.36**2 * ones
    )
    result = fit(vague, start=se3.exp(np.array([0.05, 0, 0.05, 0, 0, 0.0])), iterations=60)
    found = result.target_from_source.numpy()
    assert np.degrees(se3.rotation_angle(se3.inverse(MOTION) @ found)) < 0.1
    cosine = (
        found[:3, 3] @ MOTION[:3, 3] / np.linalg.norm(found[:3, 3]) / np.linalg.norm(MOTION[:3, 3])
    )
    assert np.degrees(np.arccos(min(cosine, 1.0))) < 3.0


def test_depths_are_learnt_along_with_the_pose() -> None:
    points = scene(depth_sigma=0.05, pixel_sigma=0.05)
    true_inverse = scene(depth_sigma=0.0, pixel_sigma=0.05).inverse_depth
    before = (points.inverse_depth - true_inverse).abs().median()
    after = (fit(points).inverse_depth - true_inverse).abs().median()
    assert float(after) < 0.7 * float(before)


def test_standing_still_is_found_to_a_hair() -> None:
    result = fit(scene(motion=np.eye(4), pixel_sigma=0.1))
    assert np.abs(error(result, np.eye(4))).max() < 2e-3


def test_derivatives_match_finite_differences() -> None:
    points = scene(count=8)
    problem = PoseProblem(points, CAMERA)
    pose, depth = torch.from_numpy(MOTION), points.inverse_depth * 1.1
    at = problem.residuals(pose, depth)
    by_pose, by_depth = derivatives(CAMERA, at.seen)
    h = 1e-7
    for axis in range(6):
        twist = np.zeros(6)
        twist[axis] = h
        moved = problem.residuals(torch.from_numpy(se3.exp(twist)) @ pose, depth)
        numeric = (moved.residual - at.residual) / h
        torch.testing.assert_close(by_pose[axis], numeric, atol=1e-3, rtol=1e-4)
    numeric = (problem.residuals(pose, depth + h).residual - at.residual) / h
    torch.testing.assert_close(by_depth, numeric, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize('wild', [0.0, 1e-12, 1e6])
def test_wild_numbers_give_no_exception_and_no_nan(wild: float) -> None:
    points = scene(count=20)
    inverse = points.inverse_depth.clone()
    inverse[::2] = wild
    result = fit(dataclasses.replace(points, inverse_depth=inverse))
    assert torch.isfinite(result.target_from_source).all()
    assert torch.isfinite(result.covariance).all()


def test_points_at_one_place_are_reported_as_degenerate() -> None:
    points = scene(count=30)
    same = {
        f.name: getattr(points, f.name)[:1].expand_as(getattr(points, f.name)).clone()
        for f in dataclasses.fields(points)
    }
    result = fit(Correspondences(**same))
    assert torch.isfinite(result.target_from_source).all()
    assert result.condition > 1e6


def test_rotation_alone() -> None:
    turn = se3.exp(np.array([0, 0, 0, 0.05, -0.1, 0.07]))
    points = scene(motion=turn, pixel_sigma=0.1)
    target = points.target.clone()
    target[::5] += 40.0
    rotation = fit_rotation(
        dataclasses.replace(points, target=target), CAMERA, np.eye(4), np.zeros(3)
    )
    np.testing.assert_allclose(rotation, turn[:3, :3], atol=5e-4)


def test_rotation_about_a_camera_whose_place_is_known() -> None:
    """Exact under a large translation; without the place the translation would pass for a turn."""
    far = se3.exp(np.array([0.4, -0.3, 0.2, 0.05, -0.1, 0.07]))
    points = scene(motion=far, pixel_sigma=0.0, depth_sigma=0.0)
    target = points.target.clone()
    target[::5] += 40.0
    points = dataclasses.replace(points, target=target)
    centre = se3.inverse(far)[:3, 3]
    rotation = fit_rotation(points, CAMERA, np.eye(4), centre)
    np.testing.assert_allclose(rotation, far[:3, :3], atol=1e-4)
    nowhere = fit_rotation(points, CAMERA, np.eye(4), np.zeros(3))
    assert np.abs(nowhere - far[:3, :3]).max() > 0.01


@pytest.mark.parametrize('target_depth', [True, False], ids=['both depths', 'source depth'])
def test_the_true_pose_fits_better_than_that_of_a_moving_thing(target_depth: bool) -> None:
    """Though 45 % of the points are on it, and it moves as one."""
    points = scene(count=400, target_depth=target_depth)
    other = se3.exp(np.array([-0.15, 0.1, 0.05, 0.0, 0.02, -0.01])) @ MOTION
    moves = scene(count=400, motion=other, target_depth=target_depth)
    target = points.target.clone()
    target[:180] = moves.target[:180]
    problem = PoseProblem(dataclasses.replace(points, target=target), CAMERA)
    true, wrong, between = (
        problem.misfit(torch.from_numpy(pose))
        for pose in (MOTION, other, se3.exp(0.5 * se3.log(other @ se3.inverse(MOTION))) @ MOTION)
    )
    assert true < 0.7
    assert true < wrong - 0.05
    assert wrong < between  # what suits both a little explains nothing


def test_misfit_is_a_share_of_the_points() -> None:
    problem = PoseProblem(scene(), CAMERA)
    assert problem.misfit(torch.from_numpy(MOTION)) < 0.3
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    assert problem.misfit(torch.from_numpy(behind)) == pytest.approx(1.0)


def test_misfit_does_not_punish_depth_that_is_hardly_known() -> None:
    """A point counts by its error at its best depth."""
    points = scene(pixel_sigma=0.05, target_depth=False)
    wrong = dataclasses.replace(
        points,
        inverse_depth=points.inverse_depth * 1.3,
        inverse_depth_variance=torch.full_like(points.inverse_depth, 0.25),
    )
    assert PoseProblem(wrong, CAMERA).misfit(torch.from_numpy(MOTION)) < 0.2
