# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment: its derivatives, its step, and what it recovers from exact tracks."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from exact_views import ExactViews, aligned, lens, pose_errors, walk
from torch import Tensor

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.bundle import adjust
from flowcam_ros.flowmap.bundle_problem import (
    BundleProblem,
    BundleState,
    Charts,
    LensPrior,
    Observations,
)
from flowcam_ros.flowmap.lens import FOCAL, RADIAL_1, RADIAL_2, Lens
from flowcam_ros.flowmap.track_depth import hosts, observations_of
from flowcam_ros.geometry.se3 import exp
from flowcam_ros.geometry.small_motion import small_motion

CPU = torch.device('cpu')


def free_lens(own: Lens, *free: int) -> LensPrior:
    """Return that some numbers of a lens are free and nothing is known of them."""
    which = torch.zeros(5, dtype=torch.bool)
    which[list(free)] = True
    return LensPrior(own.numbers.clone(), torch.zeros(5, dtype=torch.float64), which)


def placed(views: ExactViews, tracks: Tracks) -> tuple[Charts, Tensor]:
    """Return the charts of the points and their true coordinates in them."""
    host = hosts(tracks)
    frame = tracks.frame[host]
    pixel = tracks.pixel[host].astype(np.float64)
    depth = np.array([views.depth(f, p[None])[0] for f, p in zip(frame, pixel, strict=True)])
    poses = torch.from_numpy(views.poses[frame])
    rays = views.lens.rays(torch.from_numpy(pixel))
    inverse = torch.from_numpy(1.0 / depth)[:, None]
    return Charts(poses[:, :3, 3], poses[:, :3, :3]), torch.cat([rays[:, :2], inverse], -1)


def perturbed(
    views: ExactViews, points: Tensor, shift: float, focal: float, seed: int = 3
) -> BundleState:
    """Return a state off the truth: poses and depths shaken, another focal length, no radial."""
    random = np.random.default_rng(seed)
    poses = views.poses.copy()
    for k in range(1, len(poses)):
        poses[k] = poses[k] @ exp(random.normal(0.0, shift, 6) * [1, 1, 1, 0.3, 0.3, 0.3])
    numbers = views.lens.numbers.clone()
    numbers[FOCAL] *= focal
    numbers[[RADIAL_1, RADIAL_2]] = 0.0
    points = points.clone()
    points[:, 2] *= torch.from_numpy(np.exp(random.normal(0.0, 2 * shift, len(points))))
    return BundleState(torch.from_numpy(poses), Lens(numbers, views.lens.aspect), points)


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(6), lens(300.0, -0.08, 0.03, 1.05))


@pytest.fixture(scope='module')
def tracks(views: ExactViews) -> Tracks:
    return views.tracks(views.points(300))


def small_problem(views: ExactViews) -> tuple[BundleProblem, BundleState]:
    """Return twelve points with measured depth, not at the minimum, and not all seen by all."""
    tracks = views.tracks(views.points(12), noise_px=1.0)
    charts, points = placed(views, tracks)
    seen = observations_of(tracks, CPU)
    random = np.random.default_rng(5)
    measured = torch.from_numpy(random.uniform(0.2, 0.3, len(tracks)))
    known = torch.from_numpy(random.choice([0.0, 400.0], len(tracks)))
    seen = dataclasses.replace(seen, inverse_depth=measured, depth_information=known)
    prior = free_lens(views.lens, 0, 1, 2, 3, 4)
    prior = dataclasses.replace(
        prior, information=torch.tensor([1e-2, 0.1, 0.1, 25.0, 25.0], dtype=torch.float64)
    )
    state = perturbed(views, points, 0.01, 1.02)
    return BundleProblem(charts, seen, prior), state


def changed(problem: BundleProblem, state: BundleState, change: Tensor) -> BundleState:
    """Return the state after a change of all unknowns: poses, lens, points."""
    frames, points = len(state.poses), len(state.points)
    motion, numbers, places = change.split([6 * frames, 5, 3 * points])
    poses = state.poses @ small_motion(motion.view(-1, 6))
    return problem.stepped(state, poses, numbers, places.view(-1, 3))


def test_the_step_is_that_of_the_dense_normal_equations(views: ExactViews) -> None:
    """The Jacobian is autograd's, so this holds for the derivatives, too."""
    problem, state = small_problem(views)
    at = problem.residuals(state)
    unknowns = 6 * len(state.poses) + 5 + 3 * len(state.points)
    zero = torch.zeros(unknowns, dtype=torch.float64)

    def residual(change: Tensor) -> Tensor:
        motion, numbers, places = change.split([6 * len(state.poses), 5, 3 * len(state.points)])
        poses = state.poses @ small_motion(motion.view(-1, 6))
        other = Lens(state.lens.numbers + numbers, state.lens.aspect)
        moved = BundleState(poses, other, state.points + places.view(-1, 3))
        return problem.residuals(moved).residual.flatten()

    jacobian = torch.autograd.functional.jacobian(residual, zero)
    scale, damping = 1.3, 1e-3
    weight = problem.system(at, scale)  # built from the same weights as below
    o, chi2 = problem.observations, at.chi2_pixel / scale**2
    pixel = o.information * 6.0 / (4.0 + chi2) / scale**2
    depth = o.depth_information * 5.0 / (4.0 + at.chi2_depth)
    diagonal = torch.stack([pixel, pixel, depth], -1).flatten()
    hessian = jacobian.T @ (diagonal[:, None] * jacobian)
    slope = jacobian.T @ (diagonal * at.residual.flatten())
    lenses = slice(6 * len(state.poses), 6 * len(state.poses) + 5)
    information = torch.tensor([1e-2, 0.1, 0.1, 25.0, 25.0], dtype=torch.float64)
    hessian[lenses, lenses] += information.diag()
    slope[lenses] += information * (state.lens.numbers - views.lens.numbers)
    hessian += damping * hessian.diagonal().diag()
    step = torch.linalg.solve(hessian, -slope)
    poses, numbers, places = weight.step(damping)
    found = torch.cat([poses.flatten(), numbers, places.flatten()])
    assert torch.allclose(found, step, rtol=1e-5, atol=1e-9)


def test_a_step_along_the_slope_lowers_the_cost_as_it_says(views: ExactViews) -> None:
    problem, state = small_problem(views)
    at = problem.residuals(state)
    poses, numbers, places = problem.system(at, 1.0).step(10.0)
    change = torch.cat([poses.flatten(), numbers, places.flatten()])
    costs = [
        problem.cost(problem.residuals(changed(problem, state, s * change)), 1.0)
        for s in (-1e-4, 0.0, 1e-4)
    ]
    assert costs[0] > costs[1] > costs[2]


def test_what_many_groups_of_points_give_is_what_one_gives(
    views: ExactViews, tracks: Tracks, monkeypatch: pytest.MonkeyPatch
) -> None:
    charts, points = placed(views, tracks)
    problem = BundleProblem(charts, observations_of(tracks, CPU), free_lens(views.lens, FOCAL))
    at = problem.residuals(perturbed(views, points, 0.01, 1.02))
    whole = problem.system(at, 1.0).step(1e-3)
    monkeypatch.setattr('flowcam_ros.flowmap.bundle_system._GROUP', 97)
    parts = problem.system(at, 1.0).step(1e-3)
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(('aspect', 'focal'), [(1.0, 1.1), (1.05, 0.9)])
def test_everything_is_recovered_from_exact_tracks(aspect: float, focal: float) -> None:
    views = ExactViews(walk(6), lens(300.0, -0.08, 0.03, aspect))
    tracks = views.tracks(views.points(300))
    charts, points = placed(views, tracks)
    prior = free_lens(views.lens, FOCAL, RADIAL_1, RADIAL_2)
    problem = BundleProblem(charts, observations_of(tracks, CPU), prior)
    fit = adjust(problem, perturbed(views, points, 0.05, focal), 60)
    assert fit.state.lens.focal == pytest.approx(300.0, rel=1e-3)
    assert float(fit.state.lens.numbers[RADIAL_1]) == pytest.approx(-0.08, abs=2e-3)
    assert float(fit.state.lens.numbers[RADIAL_2]) == pytest.approx(0.03, abs=5e-3)
    poses, factor = aligned(fit.state.poses.numpy(), views.poses)
    away, angle = pose_errors(poses, views.poses)
    assert away < 1e-3 and angle < 0.02
    pose = fit.state.poses[0].numpy()
    place = (charts.world(fit.state.points).numpy() - pose[:3, 3]) @ pose[:3, :3] * factor
    true = charts.world(points).numpy()
    assert np.linalg.norm(place - true, axis=-1).max() < 0.01


def test_a_fifth_of_wrong_observations_does_not_matter(views: ExactViews, tracks: Tracks) -> None:
    random = np.random.default_rng(8)
    wrong = random.random(len(tracks)) < 0.2
    pixel = tracks.pixel.copy()
    pixel[wrong] += random.uniform(-60.0, 60.0, (wrong.sum(), 2)).astype(np.float32)
    charts, points = placed(views, tracks)
    bad = dataclasses.replace(tracks, pixel=pixel)
    prior = free_lens(views.lens, FOCAL, RADIAL_1, RADIAL_2)
    problem = BundleProblem(charts, observations_of(bad, CPU), prior)
    fit = adjust(problem, perturbed(views, points, 0.02, 1.05), 60)
    assert fit.state.lens.focal == pytest.approx(300.0, rel=5e-3)
    away, angle = pose_errors(aligned(fit.state.poses.numpy(), views.poses)[0], views.poses)
    assert away < 5e-3 and angle < 0.1


def test_more_steps_are_never_worse_and_all_are_told(views: ExactViews, tracks: Tracks) -> None:
    charts, points = placed(views, tracks)
    problem = BundleProblem(charts, observations_of(tracks, CPU), free_lens(views.lens))
    start = perturbed(views, points, 0.05, 1.0)
    costs = [
        problem.cost(adjust(problem, start, steps).at, 1.0) if steps else
        problem.cost(problem.residuals(start), 1.0)
        for steps in (0, 2, 6, 20)
    ]  # fmt: skip
    # each step is judged with the scale of its own errors, so the last digits may differ
    assert all(after < 1.001 * before for before, after in itertools.pairwise(costs))
    assert costs[-1] < 0.01 * costs[0]
    told: list[int] = []
    fit = adjust(problem, start, 20, lambda step, _scale, _focal: told.append(step))
    assert told == list(range(1, fit.steps + 1))


def test_all_unknowns_may_be_moved_together_without_a_change_of_cost(
    views: ExactViews, tracks: Tracks
) -> None:
    """Where the world lies and how large it is, observations of pixels do not say."""
    charts, points = placed(views, tracks)
    noisy = dataclasses.replace(
        observations_of(tracks, CPU), pixel=torch.from_numpy(tracks.pixel).double() + 0.3
    )
    problem = BundleProblem(charts, noisy, free_lens(views.lens))
    state = perturbed(views, points, 0.01, 1.0)
    move = torch.from_numpy(exp(np.array([1.0, -2.0, 0.5, 0.3, 0.2, -0.7])))
    factor = 2.5
    turned = move @ state.poses
    turned[:, :3, 3] *= factor
    origin = (charts.origin @ move[:3, :3].T + move[:3, 3]) * factor
    other = BundleProblem(Charts(origin, move[:3, :3] @ charts.axes), noisy, free_lens(views.lens))
    places = state.points.clone()
    places[:, 2] /= factor
    one = problem.residuals(state)
    two = other.residuals(BundleState(turned, state.lens, places))
    assert torch.allclose(one.residual[:, :2], two.residual[:, :2], atol=1e-8)


def test_a_frame_that_sees_nothing_stays_where_it_is(views: ExactViews, tracks: Tracks) -> None:
    charts, points = placed(views, tracks)
    prior = free_lens(views.lens, FOCAL, RADIAL_1, RADIAL_2)
    problem = BundleProblem(charts, observations_of(tracks, CPU), prior)
    state = perturbed(views, points, 0.02, 1.05)
    alone = torch.from_numpy(exp(np.array([9.0, 9.0, 9.0, 1.0, 0.0, 0.0])))
    more = dataclasses.replace(state, poses=torch.cat([state.poses, alone[None]]))
    fit = adjust(problem, more, 40)
    assert torch.allclose(fit.state.poses[-1], alone, atol=1e-12)
    assert fit.state.lens.focal == pytest.approx(300.0, rel=2e-3)


def test_points_at_infinity_hold_the_turn_and_stay_at_infinity() -> None:
    views = ExactViews(walk(5), lens())
    random = np.random.default_rng(2)
    rays = np.column_stack([random.uniform(-0.6, 0.4, (200, 2)), np.ones(200)])
    point, frame, pixel = [], [], []
    for number, ray in enumerate(rays):
        for k, pose in enumerate(views.poses):
            point.append(number)
            frame.append(k)
            pixel.append(views.lens.project(torch.from_numpy(ray @ pose[:3, :3])).numpy())
    one = torch.full((len(point),), 4.0, dtype=torch.float64)
    seen = Observations(
        torch.tensor(point), torch.tensor(frame), torch.from_numpy(np.array(pixel)), one,
        torch.zeros_like(one), torch.zeros_like(one),
    )  # fmt: skip
    charts = Charts(torch.zeros(200, 3).double(), torch.eye(3).double().expand(200, 3, 3))
    places = torch.from_numpy(np.column_stack([rays[:, :2], np.full(200, 0.05)]))
    poses = torch.from_numpy(
        np.stack([p @ exp(np.array([0, 0, 0, 0.02, -0.01, 0.01]) * (k > 0))
                  for k, p in enumerate(views.poses)])
    )  # fmt: skip
    problem = BundleProblem(charts, seen, free_lens(views.lens))
    fit = adjust(problem, BundleState(poses, views.lens, places), 60)
    assert bool(fit.state.points.isfinite().all())
    assert float(fit.at.chi2_pixel.max()) < 1e-2
    # a parallax that would be seen is explained away
    shift = fit.state.poses[:, :3, 3] - fit.state.poses[:1, :3, 3]
    parallax = fit.state.points[:, 2:].abs().max() * shift.norm(dim=-1).max()
    assert float(parallax) < 2e-3
    first = fit.state.poses[0, :3, :3].mT @ fit.state.poses[:, :3, :3]
    true = torch.from_numpy(views.poses[0, :3, :3].T @ views.poses[:, :3, :3])
    assert torch.allclose(first, true, atol=1e-3)


def test_points_behind_the_camera_neither_pull_nor_break_the_step(
    views: ExactViews, tracks: Tracks
) -> None:
    charts, points = placed(views, tracks)
    problem = BundleProblem(charts, observations_of(tracks, CPU), free_lens(views.lens))
    state = perturbed(views, points, 0.01, 1.0)
    behind = state.points.clone()
    behind[:20, 2] = -4.0
    at = problem.residuals(dataclasses.replace(state, points=behind))
    poses, numbers, places = problem.system(at, 1.0).step(1e-3)
    assert bool(poses.isfinite().all() and places.isfinite().all()) and not len(numbers)


def test_the_variance_of_the_focal_length_is_honest(views: ExactViews) -> None:
    """Over noisy copies of one recording, errors are as large as they are said to be."""
    points = views.points(150)
    ratios = []
    for seed in range(12):
        tracks = views.tracks(points, noise_px=0.4, seed=seed)
        charts, true = placed(views, views.tracks(points))
        problem = BundleProblem(charts, observations_of(tracks, CPU), free_lens(views.lens, FOCAL))
        state = BundleState(torch.from_numpy(views.poses), views.lens, true)
        fit = adjust(problem, state, 30)
        covariance = problem.system(fit.at, fit.scale).covariance(0)
        ratios.append((fit.state.lens.focal - 300.0) / float(covariance[-1, -1].sqrt()))
    spread = float(np.sqrt(np.mean(np.square(ratios))))
    assert 0.5 < spread < 1.7
