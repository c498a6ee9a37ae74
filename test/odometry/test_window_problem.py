# SPDX-License-Identifier: Apache-2.0
"""Key frames optimised together: exact on exact data, calibrated, and nothing lost on leaving."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.small_motion import small_motion, small_step
from flowcam_ros.odometry.pair_prior import PairPrior, stacked
from flowcam_ros.odometry.reprojection import reproject
from flowcam_ros.odometry.window_prior import (
    WindowPrior,
    prior_of_one,
    with_known_length,
    without_first,
)
from flowcam_ros.odometry.window_problem import (
    Sightings,
    WindowPoints,
    WindowProblem,
    WindowState,
)
from flowcam_ros.odometry.window_solver import WindowFit, fit_window

CAMERA = CameraModel(640, 480, 500.0, 500.0, 320.0, 240.0)
DEPTH_SIGMA = 0.01  # where depth is measured, with pixels of 0.3
STEP = se3.exp(np.array([0.15, -0.05, 0.1, 0.02, -0.03, 0.02]))
HELD = 1e10 * torch.eye(6, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What was seen, and the truth of it."""

    truth: WindowState
    points: WindowPoints
    sightings: Sightings

    def problem(self, prior: WindowPrior) -> WindowProblem:
        return WindowProblem(CAMERA, self.points, self.sightings, prior, 1.0)


def scene(
    seed: int = 0,
    frames: int = 4,
    count: int = 60,
    pixel_sigma: float = 0.0,
    measured: bool = False,
) -> Scene:
    """Return key frames on a curve that all see the points of those before them."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    poses = torch.from_numpy(np.stack([np.linalg.matrix_power(STEP, i) for i in range(frames)]))
    size = torch.tensor([640.0, 480.0], dtype=torch.float64)
    pixels = size * torch.rand(frames, count, 2, dtype=torch.float64, generator=generator)
    depth = 0.2 + 0.6 * torch.rand(frames, count, dtype=torch.float64, generator=generator)
    ray = rays(CAMERA, pixels)
    pairs = [(h, t) for h in range(frames) for t in range(h + 1, frames)]
    host, target = torch.tensor(pairs).T
    pose = torch.linalg.solve(poses[target], poses[host])
    seen = reproject(CAMERA, ray[host].mT, depth[host], pose)
    shape = seen.depth.shape
    information = torch.full(shape, max(pixel_sigma, 0.05) ** -2, dtype=torch.float64)
    sightings = Sightings(
        host,
        target,
        seen.predicted[:, :2].mT + pixel_sigma * noise(*shape, 2),
        information * seen.ahead,
        seen.predicted[:, 2] + DEPTH_SIGMA * pixel_sigma / 0.3 * noise(*shape),
        torch.full(shape, DEPTH_SIGMA**-2 * measured, dtype=torch.float64),
        stacked([None] * len(pairs), poses.device),
    )
    known = torch.full_like(depth, DEPTH_SIGMA**-2 * measured)
    before = depth + DEPTH_SIGMA * pixel_sigma / 0.3 * noise(*depth.shape)
    return Scene(WindowState(poses, depth), WindowPoints(ray, before, known), sightings)


def perturbed(truth: WindowState, seed: int = 9) -> WindowState:
    """Return a start: all poses but the first off by some degrees and centimetres."""
    generator = torch.Generator().manual_seed(seed)
    step = 0.02 * torch.randn(len(truth.poses), 6, dtype=torch.float64, generator=generator)
    step[0] = 0.0
    change = torch.randn(truth.depth.shape, dtype=torch.float64, generator=generator)
    return WindowState(
        truth.poses @ small_motion(step), truth.depth * (0.2 * change.clamp(-2, 2)).exp()
    )


def unit_prior(poses: torch.Tensor, share: float = 1e-4) -> WindowPrior:
    """Return what holds the first pose and the length of the first way."""
    return with_known_length(prior_of_one(poses[0], HELD), poses[1], share)


def fitted(seen: Scene, prior: WindowPrior, start: WindowState | None = None) -> WindowFit:
    return fit_window(seen.problem(prior), perturbed(seen.truth) if start is None else start, 30)


@pytest.mark.parametrize('measured', [True, False], ids=['measured depth', 'motion alone'])
def test_exact_sightings_bring_poses_and_depths_back_to_truth(measured: bool) -> None:
    seen = scene(measured=measured)
    poses = seen.truth.poses
    prior = prior_of_one(poses[0], HELD) if measured else unit_prior(poses)
    state = fitted(seen, prior).state
    torch.testing.assert_close(state.poses, poses, atol=1e-5, rtol=0.0)
    hosts = seen.sightings.host.unique()  # nobody sees the newest key frame's points
    torch.testing.assert_close(state.depth[hosts], seen.truth.depth[hosts], atol=1e-5, rtol=0.0)


def test_a_tenth_of_wild_sightings_hardly_moves_the_poses() -> None:
    seen = scene(pixel_sigma=0.2)
    seen.sightings.pixel[:, ::10] += 30.0
    state = fitted(seen, unit_prior(seen.truth.poses)).state
    assert float((state.poses - seen.truth.poses).abs().max()) < 5e-3


@pytest.mark.parametrize('factor', [0.5, 2.0])
def test_the_first_distance_holds_the_unit(factor: float) -> None:
    """All lengths follow from it: the same pictures, in another unit."""
    seen = scene()
    longer = seen.truth.poses.clone()
    longer[:, :3, 3] *= factor
    state = fitted(seen, unit_prior(longer)).state
    torch.testing.assert_close(state.poses, longer, atol=1e-4, rtol=0.0)
    torch.testing.assert_close(
        state.depth[:-1], seen.truth.depth[:-1] / factor, atol=1e-3, rtol=0.0
    )


def test_the_first_distance_holds_nothing_but_the_unit() -> None:
    """The direction of the way and the turns stay free."""
    seen = scene()
    wrong = seen.truth.poses.clone()
    wrong[1] = wrong[1] @ small_motion(torch.tensor([0.0, 0, 0, 0.1, 0.1, 0], dtype=torch.float64))
    turn = se3.exp(np.array([0, 0, 0, 0.0, 0.02, 0.01]))
    wrong[1, :3, 3] = torch.from_numpy(turn[:3, :3]) @ wrong[1, :3, 3]
    state = fitted(seen, unit_prior(wrong)).state
    torch.testing.assert_close(state.poses, seen.truth.poses, atol=5e-4, rtol=0.0)


def system_covariance(fit: WindowFit) -> torch.Tensor:
    return torch.linalg.inv(fit.system.reduced()[0])


def part(seen: Scene, oldest: bool) -> Scene:
    """Return the sightings of the first key frame's points, or those of all others without it."""
    s = seen.sightings
    chosen = (s.host == 0) == oldest
    fields = {f.name: getattr(s, f.name) for f in dataclasses.fields(s)}
    pair = fields.pop('pair')
    fields = {name: values[chosen] for name, values in fields.items()}
    fields['pair'] = PairPrior(pair.pose[chosen], pair.hessian[chosen], pair.gradient[chosen])
    if oldest:
        return dataclasses.replace(seen, sightings=Sightings(**fields))
    fields |= {'host': fields['host'] - 1, 'target': fields['target'] - 1}
    points, truth = seen.points, seen.truth
    return Scene(
        WindowState(truth.poses[1:], truth.depth[1:]),
        WindowPoints(points.rays[1:], points.inverse_depth[1:], points.information[1:]),
        Sightings(**fields),
    )


@pytest.mark.parametrize('measured', [True, False], ids=['measured depth', 'motion alone'])
def test_what_the_oldest_key_frame_said_stays(measured: bool) -> None:
    """Estimate and covariance of the others are as if it were still there."""
    seen = scene(pixel_sigma=0.1, measured=measured)
    prior = unit_prior(seen.truth.poses)
    full = fitted(seen, prior, seen.truth)
    leaving = part(seen, oldest=True).problem(prior)
    system = leaving.system(leaving.residuals(full.state), full.scale)
    kept = without_first(*system.reduced(), full.state.poses)
    rest = part(seen, oldest=False)
    fit = fitted(rest, kept, rest.truth)

    whole, remaining = system_covariance(full)[6:, 6:], system_covariance(fit)
    sigma = whole.diagonal().sqrt()
    off = small_step(torch.linalg.solve(full.state.poses[1:], fit.state.poses)).flatten()
    assert float((off / sigma).abs().max()) < 0.1
    difference = (remaining - whole) / torch.outer(sigma, sigma)
    assert float(difference.abs().max()) < 0.1
    # and it had said something
    nothing = WindowPrior(1e-3 * HELD / HELD[0, 0], HELD.new_zeros(6), rest.truth.poses[:1])
    assert float(system_covariance(fitted(rest, nothing, rest.truth))[0, 0]) > 2 * float(
        whole[0, 0]
    )


def test_a_key_frame_that_leaves_takes_exactly_its_unknowns() -> None:
    """Of a quadratic cost nothing is lost: the same minimum, the same covariance."""
    generator = torch.Generator().manual_seed(5)
    root = torch.randn(40, 18, dtype=torch.float64, generator=generator)
    hessian, gradient = root.T @ root, torch.randn(18, dtype=torch.float64, generator=generator)
    prior = without_first(hessian, gradient, scene(frames=3).truth.poses)
    torch.testing.assert_close(torch.linalg.inv(prior.hessian), torch.linalg.inv(hessian)[6:, 6:])
    torch.testing.assert_close(
        torch.linalg.solve(prior.hessian, prior.gradient),
        torch.linalg.solve(hessian, gradient)[6:],
    )
    assert len(prior.poses) == 2


def pairs_known(seen: Scene, near: WindowState, stiffness: float) -> Scene:
    """Return the scene with something known of each pair of poses besides, taken ``near``."""
    generator = torch.Generator().manual_seed(3)
    s = seen.sightings
    root = torch.randn(len(s.host), 6, 6, dtype=torch.float64, generator=generator)
    pull = torch.randn(len(s.host), 6, dtype=torch.float64, generator=generator)
    pose = torch.linalg.solve(near.poses[s.target], near.poses[s.host])
    pair = PairPrior(small_motion(1e-5 * pull) @ pose, stiffness * root @ root.mT, 100.0 * pull)
    return dataclasses.replace(seen, sightings=dataclasses.replace(s, pair=pair))


@pytest.mark.parametrize('paired', [False, True], ids=['points', 'points and pairs'])
def test_derivatives_of_the_cost_match_finite_differences(paired: bool) -> None:
    """The gradient goes where the cost goes, of poses as hosts and as targets, and of depths."""
    seen = scene(frames=3, count=10, measured=True)
    state = perturbed(seen.truth)
    if paired:
        seen = pairs_known(seen, state, 1e4)
    problem = seen.problem(unit_prior(state.poses, share=0.1))
    system = problem.system(problem.residuals(state), 1.0)
    h = 1e-6

    def cost(poses: torch.Tensor, depth: torch.Tensor) -> float:
        return problem.cost(problem.residuals(WindowState(poses, depth)), 1.0)

    for i in range(18):
        step = torch.zeros(3, 6, dtype=torch.float64)
        step.view(-1)[i] = h
        after = cost(state.poses @ small_motion(step), state.depth)
        before = cost(state.poses @ small_motion(-step), state.depth)
        gradient = float(system.gradient.view(-1)[i])
        assert (after - before) / (2 * h) == pytest.approx(gradient, rel=1e-3, abs=0.5)
    for i in range(0, 20, 7):
        step = torch.zeros_like(state.depth)
        step.view(-1)[i] = h
        after, before = (cost(state.poses, state.depth + s) for s in (step, -step))
        assert (after - before) / (2 * h) == pytest.approx(
            float(system.slope.view(-1)[i]), rel=1e-3, abs=1e-2
        )


def test_what_is_known_of_pairs_takes_part() -> None:
    """Without a single sighting they alone bring the poses to where they were known."""
    seen = pairs_known(scene(frames=3), scene(frames=3).truth, 1e6)
    s = seen.sightings
    pair = dataclasses.replace(s.pair, gradient=torch.zeros_like(s.pair.gradient))
    none = torch.zeros_like(s.pixel_information)
    alone = dataclasses.replace(s, pixel_information=none, depth_information=none, pair=pair)
    prior = prior_of_one(seen.truth.poses[0], HELD)
    state = fitted(dataclasses.replace(seen, sightings=alone), prior).state
    torch.testing.assert_close(state.poses, seen.truth.poses, atol=1e-3, rtol=0.0)


def normalised_error(measured: bool, scale: float | None) -> float:
    """Return the mean squared error of the newest pose in units of its covariance (ANEES / 6)."""
    values = []
    for seed in range(40):
        seen = scene(seed, frames=6, count=40, pixel_sigma=0.3, measured=measured)
        problem = seen.problem(unit_prior(seen.truth.poses))
        if scale is not None:
            problem.scale = lambda at, freedom: scale  # type: ignore[method-assign]
        fit = fit_window(problem, seen.truth, 6)
        error = small_step(torch.linalg.solve(seen.truth.poses[-1], fit.state.poses[-1]))
        values.append(float(error @ torch.linalg.solve(fit.covariances[-6:, -6:], error)) / 6.0)
    return float(np.mean(values))


@pytest.mark.parametrize('measured', [True, False], ids=['measured depth', 'motion alone'])
def test_covariance_of_the_newest_pose_is_calibrated_where_the_noise_is_known(
    measured: bool,
) -> None:
    assert 0.7 < normalised_error(measured, scale=1.0) < 1.4


@pytest.mark.parametrize('measured', [True, False], ids=['measured depth', 'motion alone'])
def test_covariance_of_the_newest_pose_is_of_the_right_size(measured: bool) -> None:
    """Also where the noise has to be told from residuals that depths have taken part of."""
    assert 0.7 < normalised_error(measured, scale=None) < 1.7


def test_sightings_that_err_alike_count_less() -> None:
    seen = scene(pixel_sigma=0.2)
    prior = unit_prior(seen.truth.poses, share=1e-6)
    covariance = [
        fit_window(
            WindowProblem(CAMERA, seen.points, seen.sightings, prior, likeness), seen.truth, 5
        ).covariances[-6:, -6:]
        for likeness in (1.0, 4.0)
    ]
    ratio = covariance[1].diagonal() / covariance[0].diagonal()
    assert 3.7 < float(ratio.median()) < 4.3


@pytest.mark.parametrize('measured', [True, False], ids=['measured depth', 'motion alone'])
@pytest.mark.parametrize('host', [0, 2, -2])
def test_the_scale_of_depths_is_that_of_the_whole_normal_matrix(host: int, measured: bool) -> None:
    """Its variance and what it shares with the newest pose, poses and depths inverted at once."""
    seen = scene(frames=4, count=20, pixel_sigma=0.3, measured=measured)
    fit = fitted(seen, unit_prior(seen.truth.poses, share=0.05), seen.truth)
    system, depth = fit.system, fit.state.depth
    hosts, count = 3, depth.shape[1]  # nobody sees the newest key frame's points
    whole = torch.zeros(24 + hosts * count, 24 + hosts * count, dtype=torch.float64)
    whole[:24, :24] = system.hessian.transpose(1, 2).reshape(24, 24)
    cross = system.cross[:hosts].flatten(1, 2).transpose(0, 1).reshape(24, -1)
    whole[:24, 24:], whole[24:, :24] = cross, cross.T
    whole[24:, 24:] = torch.diag(system.curvature[:hosts].flatten())
    covariance = torch.linalg.inv(whole)

    weight = depth[host] ** 2 * system.curvature[host]
    mean_logarithm = torch.zeros(len(whole), dtype=torch.float64)
    first = 24 + host % 4 * count
    mean_logarithm[first : first + count] = -weight / weight.sum() / depth[host]
    shared = covariance @ mean_logarithm
    variance, with_pose = system.scale_of_depths(host, depth, fit.covariances)
    assert variance == pytest.approx(float(mean_logarithm @ shared), rel=1e-6)
    torch.testing.assert_close(with_pose, shared[18:24], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize('measured', [True, False], ids=['measured depth', 'motion alone'])
@pytest.mark.parametrize('frames', [2, 6])
def test_residuals_are_as_large_as_their_freedom_and_the_scale_is_one(
    frames: int, measured: bool
) -> None:
    """Though depths, each of few sightings, and poses have taken part of the noise."""
    left, freedoms, scales = [], [], []
    for seed in range(12):
        seen = scene(seed, frames, count=100, pixel_sigma=0.3, measured=measured)
        problem = seen.problem(unit_prior(seen.truth.poses))
        at = fit_window(problem, seen.truth, 6).at
        left.append(float(at.chi2_pixel[seen.sightings.pixel_information > 0].mean()))
        freedoms.append(problem.freedom(at))
        scales.append(problem.scale(at, problem.freedom(at)))
    assert np.mean(left) == pytest.approx(np.mean(freedoms), rel=0.08)
    assert np.mean(scales) == pytest.approx(1.0, abs=0.1)
    assert np.mean(freedoms) < (1.95 if measured else 1.7)


def test_poses_absorb_noise_too_where_points_are_few() -> None:
    left, freedoms = [], []
    for seed in range(60):
        seen = scene(seed, frames=2, count=15, pixel_sigma=0.3, measured=True)
        problem = seen.problem(prior_of_one(seen.truth.poses[0], HELD))
        at = fit_window(problem, seen.truth, 6).at
        left.append(float(at.chi2_pixel[seen.sightings.pixel_information > 0].mean()))
        freedoms.append(problem.freedom(at))
    assert np.mean(left) == pytest.approx(np.mean(freedoms), rel=0.1)
