# SPDX-License-Identifier: Apache-2.0
"""From rough poses and depth to precise ones: which tracks are used, and what comes out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, aligned, lens, pose_errors, walk

from flowcam_ros.correspondence.tracks import Tracks, no_tracks
from flowcam_ros.flowmap.bundle_problem import BundleProblem, BundleState
from flowcam_ros.flowmap.lens import RADIAL_1
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.metric import scaled
from flowcam_ros.flowmap.polish import Polished, from_first_camera, lens_prior, polish
from flowcam_ros.flowmap.polish_config import PolishConfig
from flowcam_ros.flowmap.track_depth import (
    held,
    hosts,
    in_order,
    observations_of,
    placed_points,
    selected,
)
from flowcam_ros.geometry.se3 import exp

CPU = torch.device('cpu')
SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(6), lens(300.0, 0.05, -0.02))


@pytest.fixture(scope='module')
def points(views: ExactViews) -> np.ndarray:
    return views.points(400)


@pytest.fixture(scope='module')
def tracks(views: ExactViews, points: np.ndarray) -> Tracks:
    return views.tracks(points, noise_px=0.2)


def rough(views: ExactViews) -> tuple[Maps, torch.Tensor]:
    """Return depth that is 10 % off in places, and poses off by some centimetres and degrees."""
    maps = views.maps(64, 48)
    random = np.random.default_rng(4)
    coarse = torch.from_numpy(random.normal(0.0, 0.1, (6, 1, 6, 8))).float()
    waves = torch.nn.functional.interpolate(coarse, size=(48, 64), mode='bilinear')[:, 0]
    poses = views.poses.copy()
    for k in range(1, 6):
        poses[k] = poses[k] @ exp(random.normal(0, 1, 6) * [0.05, 0.05, 0.05, 0.01, 0.01, 0.01])
    return dataclasses.replace(maps, log_inverse=maps.log_inverse + waves), torch.from_numpy(poses)


def polished(views: ExactViews, tracks: Tracks, known: bool, focal: float) -> Polished:
    maps, poses = rough(views)
    start = views.lens if known else lens(focal)
    config = PolishConfig()
    told = []
    result = polish(
        tracks, maps, start, poses, lens_prior(start, known, False, SIZE, config), config,
        lambda part, step, scale, focal: told.append((part, step, scale, focal)),
    )  # fmt: skip
    assert list(dict.fromkeys(part for part, *_ in told)) == ['poses', 'lens', 'inliers']
    # what is told is the focal length of that step
    assert {step[3] for step in told if step[0] == 'poses'} == {start.focal}
    assert told[-1][3] == pytest.approx(result.lens.focal, rel=1e-3)
    return result


@pytest.fixture(scope='module')
def found(views: ExactViews, tracks: Tracks) -> Polished:
    return polished(views, tracks, known=False, focal=330.0)


def test_poses_and_lens_become_precise(views: ExactViews, found: Polished) -> None:
    path, _ = aligned(found.poses.numpy(), views.poses)
    away, angle = pose_errors(path, views.poses)
    assert away < 0.01 and angle < 0.3
    assert found.lens.focal == pytest.approx(300.0, rel=0.02)
    assert float(found.lens.numbers[RADIAL_1]) == pytest.approx(0.05, abs=0.02)
    assert 0.0 < found.focal_log_sigma < 0.02
    assert abs(np.log(found.lens.focal / 300.0)) < 4 * found.focal_log_sigma
    assert found.held.all()


def test_errors_are_those_of_the_tracks(found: Polished) -> None:
    assert len(found.error_px) == len(found.tracks)
    # Rayleigh's median of 0.2 px, less what the points absorb
    assert 0.12 < float(np.median(found.error_px)) < 0.25
    # tracks claim 0.4 px and have 0.2
    assert 0.35 < found.scale < 0.65
    assert found.rejected_share < 0.05


def test_points_lie_on_the_relief(views: ExactViews, found: Polished) -> None:
    first = found.poses[0].numpy()
    _, factor = aligned(found.poses.numpy(), views.poses)
    local = (found.points - first[:3, 3]) @ first[:3, :3] * factor
    x, y, z = (local @ views.poses[0, :3, :3].T + views.poses[0, :3, 3]).T
    height = 4.0 + 0.4 * np.sin(1.3 * x + 0.4) + 0.3 * np.cos(1.7 * y)
    assert np.median(np.abs(z - height)) < 0.05


def test_a_known_lens_is_kept(views: ExactViews, tracks: Tracks) -> None:
    result = polished(views, tracks, known=True, focal=0.0)
    assert torch.equal(result.lens.numbers, views.lens.numbers)
    assert result.focal_log_sigma == 0.0
    assert pose_errors(aligned(result.poses.numpy(), views.poses)[0], views.poses)[0] < 0.01


def test_wrong_observations_are_left_out(views: ExactViews, tracks: Tracks) -> None:
    random = np.random.default_rng(2)
    wrong = random.random(len(tracks)) < 0.1
    pixel = tracks.pixel.copy()
    pixel[wrong] += random.uniform(8.0, 40.0, (int(wrong.sum()), 2)).astype(np.float32)
    result = polished(views, dataclasses.replace(tracks, pixel=pixel), True, 0.0)
    assert 0.08 < result.rejected_share < 0.25
    kept = {tuple(p) for p in result.tracks.pixel.tolist()}
    assert np.mean([tuple(p) in kept for p in pixel[wrong].tolist()]) < 0.02
    assert pose_errors(aligned(result.poses.numpy(), views.poses)[0], views.poses)[0] < 0.01


def test_a_frame_that_sees_little_is_not_held(views: ExactViews, tracks: Tracks) -> None:
    keep = (tracks.frame != 5) | (np.cumsum(tracks.frame == 5) <= 10)
    few = Tracks(*(getattr(tracks, n)[keep] for n in ('point', 'frame', 'pixel', 'sigma')))
    result = polished(views, few, True, 0.0)
    assert result.held.tolist() == [True] * 5 + [False]


def test_the_first_camera_that_is_held_is_the_world(found: Polished) -> None:
    some = dataclasses.replace(found, held=np.array([False, True, True, True, True, True]))
    moved = from_first_camera(some)
    assert torch.allclose(moved.poses[1], torch.eye(4).double(), atol=1e-9)
    for frame in (0, 3):
        one, other = (
            (p.points - p.poses[frame, :3, 3].numpy()) @ p.poses[frame, :3, :3].numpy()
            for p in (found, moved)
        )
        assert np.allclose(one, other), 'what each camera sees stays'


def test_lengths_are_scaled_together(found: Polished) -> None:
    larger = scaled(found, 2.5)
    assert torch.allclose(larger.poses[:, :3, 3], 2.5 * found.poses[:, :3, 3])
    assert torch.equal(larger.poses[:, :3, :3], found.poses[:, :3, :3])
    assert np.allclose(larger.points, 2.5 * found.points)
    assert larger.scale == found.scale


@pytest.mark.parametrize(
    ('known', 'centre', 'free'), [(True, True, []), (False, False, [0, 3, 4]),
                                  (False, True, [0, 1, 2, 3, 4])],
)  # fmt: skip
def test_what_is_free_of_the_lens(known: bool, centre: bool, free: list[int]) -> None:
    prior = lens_prior(lens(), known, centre, SIZE, PolishConfig())
    assert prior.free.nonzero()[:, 0].tolist() == free
    assert float(prior.information[0]) == 0.0, 'nothing is known of the focal length'
    assert torch.equal(prior.numbers, lens().numbers)


def test_points_are_placed_at_the_depth_of_their_middle_frame(
    views: ExactViews, points: np.ndarray
) -> None:
    exact = views.tracks(points)
    host = hosts(exact)
    assert (exact.point[host] == np.arange(exact.points)).all()
    charts, places = placed_points(exact, views.maps(), views.lens, torch.from_numpy(views.poses))
    world = charts.world(places).numpy()
    expected = np.stack(
        [views.world(int(f), p[None])[0] for f, p in
         zip(exact.frame[host], exact.pixel[host].astype(np.float64), strict=True)]
    )  # fmt: skip
    assert np.linalg.norm(world - expected, axis=-1).max() < 5e-3


def test_what_does_not_hold_is_found(views: ExactViews, points: np.ndarray) -> None:
    exact = views.tracks(points)
    pixel = exact.pixel.copy()
    pixel[10] += 30.0
    bad = dataclasses.replace(exact, pixel=pixel)
    poses = torch.from_numpy(views.poses)
    charts, places = placed_points(exact, views.maps(), views.lens, poses)
    places[-1, 2] = -0.2  # behind
    places[-2, 2] = 1e-6  # so far that nothing tells its depth
    observations = observations_of(bad, CPU)
    prior = lens_prior(views.lens, True, False, SIZE, PolishConfig())
    problem = BundleProblem(charts, observations, prior)
    at = problem.residuals(BundleState(poses, views.lens, places))
    kept = held(at, observations, charts, 1.0)
    assert not kept.observation[10]
    assert not kept.point[[-1, -2]].any()
    assert not kept.observation[exact.point >= exact.points - 2].any()
    assert kept.observation.mean() > 0.98
    good, old = selected(bad, kept)
    assert good.points == len(old) == kept.point.sum() - 0
    assert np.array_equal(np.unique(bad.point[kept.observation]), old)
    assert np.array_equal(old[good.point], bad.point[kept.observation])


def test_tracks_are_ordered_by_the_frames_that_see_them(views: ExactViews, tracks: Tracks) -> None:
    shuffled = np.random.default_rng(0).permutation(tracks.points)[tracks.point]
    place = np.lexsort((tracks.frame, shuffled))
    mixed = Tracks(shuffled[place], tracks.frame[place], tracks.pixel[place], tracks.sigma[place])
    ordered, old = in_order(mixed)
    begin = np.searchsorted(ordered.point, np.arange(ordered.points))
    first = ordered.frame[begin]
    assert (np.diff(ordered.point) >= 0).all()
    assert (np.diff(first) >= 0).all()
    assert sorted(old) == list(range(mixed.points))
    for point in range(0, ordered.points, 17):
        now, before = ordered.point == point, mixed.point == old[point]
        assert (ordered.frame[now] == mixed.frame[before]).all()
        assert (ordered.pixel[now] == mixed.pixel[before]).all()


def test_points_say_which_track_they_are_of(
    views: ExactViews, tracks: Tracks, found: Polished
) -> None:
    assert len(np.unique(found.number)) == len(found.points)
    for point in range(0, len(found.points), 13):
        own = tracks.point == found.number[point]
        seen = found.tracks.point == point
        assert set(found.tracks.frame[seen]) <= set(tracks.frame[own])
        pixels = {tuple(p) for p in tracks.pixel[own].tolist()}
        assert {tuple(p) for p in found.tracks.pixel[seen].tolist()} <= pixels


@pytest.mark.parametrize('known', [True, False])
def test_tracks_of_no_rigid_scene_hold_no_frame(
    views: ExactViews, tracks: Tracks, known: bool
) -> None:
    random = np.random.default_rng(4)
    pixel = random.uniform(0.0, min(SIZE), tracks.pixel.shape).astype(np.float32)
    few = dataclasses.replace(tracks, pixel=pixel)
    few = Tracks(few.point[:60], few.frame[:60], few.pixel[:60], few.sigma[:60])
    maps, poses = rough(views)
    config = PolishConfig()
    prior = lens_prior(views.lens, known, False, SIZE, config)
    result = polish(few, maps, views.lens, poses, prior, config, lambda *_: None)
    assert not result.held.any()


def test_no_tracks_at_all_hold_no_frame(views: ExactViews) -> None:
    maps, poses = rough(views)
    config = PolishConfig()
    prior = lens_prior(views.lens, False, False, SIZE, config)
    result = polish(no_tracks(), maps, views.lens, poses, prior, config, lambda *_: None)
    assert not result.held.any() and result.focal_log_sigma == np.inf
