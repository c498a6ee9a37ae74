# SPDX-License-Identifier: Apache-2.0
"""What pairs of pictures alone say: essential matrix, focal length, depth up to one factor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, lens, turn, walk

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.flowmap.essential import (
    angles,
    decompose,
    fit_essential,
    sampson_squared,
    triangulated,
)
from flowcam_ros.flowmap.lens_search import radial_terms, search_lens, telling_pairs
from flowcam_ros.flowmap.two_view import reconstruct, reconstruct_pairs
from flowcam_ros.geometry.se3 import inverse, rotation_angle


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(6), lens())


def rays_of(views: ExactViews, pair: PairMatches) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact positions of matches in the planes z = 1 of both cameras."""
    world = views.world(pair.first, pair.source)
    local = [
        (world - views.poses[k, :3, 3]) @ views.poses[k, :3, :3] for k in (pair.first, pair.second)
    ]
    return tuple(p[:, :2] / p[:, 2:] for p in local)  # type: ignore[return-value]


def with_wrong(pair: PairMatches, share: float) -> tuple[PairMatches, np.ndarray]:
    """Return the pair with some of its matches led astray, and which."""
    random = np.random.default_rng(0)
    wrong = random.random(len(pair.source)) < share
    target = pair.target.copy()
    target[wrong] = random.uniform((0, 0), (WIDTH, HEIGHT), (wrong.sum(), 2))
    return dataclasses.replace(pair, target=target), wrong


def test_the_motion_of_exact_matches_is_found(views: ExactViews) -> None:
    pair = views.pair(1, 3)
    source, target = rays_of(views, pair)
    fit = fit_essential(source, target, 1e-3, 1000)
    assert fit is not None and fit[1].mean() > 0.99
    assert np.sqrt(sampson_squared(fit[0], source, target)).max() < 1e-4
    rotation, shift, near, far = decompose(fit[0], source, target)
    true = inverse(views.poses[3]) @ views.poses[1]
    left = np.eye(4)
    left[:3, :3] = rotation @ true[:3, :3].T
    assert np.degrees(rotation_angle(left)) < 0.05
    assert shift @ true[:3, 3] / np.linalg.norm(true[:3, 3]) > 1 - 1e-5
    factor = np.linalg.norm(true[:3, 3])
    assert near * factor == pytest.approx(views.depth(1, pair.source), rel=5e-3)
    assert far * factor == pytest.approx(views.depth(3, pair.target), rel=5e-3)


def test_the_sampson_error_is_the_distance_to_the_nearest_exact_match(views: ExactViews) -> None:
    pair = views.pair(0, 2, 50)
    source, target = rays_of(views, pair)
    motion = inverse(views.poses[2]) @ views.poses[0]
    x, y, z = motion[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ motion[:3, :3]
    assert sampson_squared(essential, source, target).max() < 1e-20
    # the line in the target is left at a right angle; both ends share the error about alike
    line = np.hstack([source, np.ones((len(source), 1))]) @ essential.T
    normal = line[:, :2] / np.linalg.norm(line[:, :2], axis=1, keepdims=True)
    away = np.sqrt(sampson_squared(essential, source, target + 0.01 * normal))
    assert away == pytest.approx(0.01 / np.sqrt(2), rel=0.2)


def test_wrong_matches_are_told_apart(views: ExactViews) -> None:
    pair, wrong = with_wrong(views.pair(0, 2), 0.3)
    rays = [views.lens.rays(torch.from_numpy(p).double())[:, :2].numpy()
            for p in (pair.source, pair.target)]  # fmt: skip
    fit = fit_essential(rays[0], rays[1], 0.5 / 300, 1000)
    assert fit is not None
    assert fit[1][~wrong].mean() > 0.98
    assert fit[1][wrong].mean() < 0.1


@pytest.mark.parametrize('count', [0, 3, 5])
def test_too_few_matches_have_no_essential_matrix(views: ExactViews, count: int) -> None:
    source, target = rays_of(views, views.pair(0, 2, 20))
    assert fit_essential(source[:count], target[:count], 1e-3, 100) is None


def test_one_match_over_and_over_is_refused_or_harmless() -> None:
    same = np.full((30, 2), 0.1)
    fit = fit_essential(same, same, 1e-3, 100)
    assert fit is None or np.isfinite(fit[0]).all()


def test_triangulation_and_angles_are_exact(views: ExactViews) -> None:
    pair = views.pair(0, 3, 40)
    source, target = rays_of(views, pair)
    motion = inverse(views.poses[3]) @ views.poses[0]
    near, far = triangulated(motion[:3, :3], motion[:3, 3], source, target)
    assert near == pytest.approx(views.depth(0, pair.source), rel=1e-6)
    assert far == pytest.approx(
        ((views.world(0, pair.source) - views.poses[3, :3, 3]) @ views.poses[3, :3, 2]), rel=1e-6
    )
    world = views.world(0, pair.source)
    one, other = (world - views.poses[k, :3, 3] for k in (0, 3))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert angles(motion[:3, :3], source, target) == pytest.approx(np.arccos(cosine), abs=1e-6)


@pytest.mark.parametrize('focal', [160.0, 300.0, 520.0])
def test_the_focal_length_is_found_from_exact_matches(focal: float) -> None:
    views = ExactViews(walk(10), lens(focal))
    found = search_lens(views.pairs(3), HEIGHT, WIDTH)
    assert found.focal == pytest.approx(focal, rel=0.02)
    assert abs(np.log(found.focal / focal)) < 2 * found.log_sigma
    assert found.log_sigma < 0.1
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.pairs > 3


@pytest.mark.parametrize('poses', [turn(6), walk(6)])
def test_planes_and_pure_turns_leave_the_focal_length_uncertain(poses: np.ndarray) -> None:
    """Every pair is explained by a homography: none is asked, and the usual lens is the answer."""
    views = ExactViews(poses, lens(400.0), bumps=0.0)
    pairs = [dataclasses.replace(p, planar=1.0) for p in views.pairs(2)]
    found = search_lens(pairs, HEIGHT, WIDTH)
    assert found.pairs == 0
    assert found.log_sigma > 0.3
    assert abs(np.log(found.focal / 400.0)) < 2 * found.log_sigma


def test_a_plane_that_was_not_recognised_does_not_make_it_sure_of_a_wrong_one() -> None:
    views = ExactViews(walk(6), lens(400.0), bumps=0.0)
    pairs = [dataclasses.replace(p, planar=0.9) for p in views.pairs(2)]
    found = search_lens(pairs, HEIGHT, WIDTH)
    assert abs(np.log(found.focal / 400.0)) < 3 * found.log_sigma


def test_the_search_is_repeatable(views: ExactViews) -> None:
    pairs = views.pairs(1)
    one, other = (search_lens(pairs, HEIGHT, WIDTH, seed=4) for _ in range(2))
    assert one.focal == other.focal
    assert np.array_equal(one.weights, other.weights)


def test_pairs_with_many_matches_off_any_plane_tell_most(views: ExactViews) -> None:
    pair = views.pair(0, 1)
    few, flat, rich, poor = (
        views.pair(0, 1, 20),
        dataclasses.replace(pair, planar=1.0),
        dataclasses.replace(pair, planar=0.1),
        dataclasses.replace(pair, planar=0.8),
    )
    assert telling_pairs([poor, few, flat, rich]) == [rich, poor]


def test_two_views_give_depth_up_to_one_factor_and_never_inside_out(views: ExactViews) -> None:
    for first, second in ((0, 2), (2, 4), (1, 4), (4, 5)):
        found = reconstruct(views.pair(first, second), views.lens, WIDTH)
        assert found is not None
        true = -np.log(
            np.stack([views.depth(first, found.source), views.depth(second, found.target)], -1)
        )
        gap = found.log_inverse - true
        # one factor for both ends; an inverted relief would have the opposite sign
        assert np.abs(gap - np.median(gap)).max() < 0.02
        assert np.corrcoef(found.log_inverse[:, 0], true[:, 0])[0, 1] > 0.99
        assert (np.abs(gap - np.median(gap)) < 3 * found.log_sigma[:, None]).mean() > 0.95


def test_depth_of_two_views_survives_wrong_matches(views: ExactViews) -> None:
    pair, wrong = with_wrong(views.pair(0, 3), 0.3)
    found = reconstruct(pair, views.lens, WIDTH)
    assert found is not None
    astray = {tuple(p) for p in pair.source[wrong].tolist()}
    assert np.mean([tuple(p) in astray for p in found.source.tolist()]) < 0.1
    gap = found.log_inverse[:, 0] + np.log(views.depth(0, found.source))
    assert np.median(np.abs(gap - np.median(gap))) < 0.01


def test_the_sigma_of_depth_is_honest_for_noisy_matches(views: ExactViews) -> None:
    random = np.random.default_rng(3)
    pair = views.pair(0, 3, 300)
    noise = random.normal(0.0, 0.15, pair.target.shape).astype(np.float32)
    found = reconstruct(dataclasses.replace(pair, target=pair.target + noise), views.lens, WIDTH)
    assert found is not None
    gap = found.log_inverse[:, 0] + np.log(views.depth(0, found.source))
    ratio = (gap - np.median(gap)) / found.log_sigma
    assert 0.3 < 1.4826 * np.median(np.abs(ratio)) < 3.0


@pytest.mark.parametrize('poses', [turn(3), np.tile(np.eye(4), (3, 1, 1))])
def test_without_parallax_there_is_no_depth(poses: np.ndarray) -> None:
    views = ExactViews(poses, lens())
    assert reconstruct(views.pair(0, 1), views.lens, WIDTH) is None


def test_each_picture_gets_as_many_pairs_as_asked_for_and_no_more(views: ExactViews) -> None:
    pairs = views.pairs(4)
    found = reconstruct_pairs(pairs, views.lens, WIDTH, per_picture=2)
    ends = np.bincount([e for v in found for e in (v.first, v.second)], minlength=6)
    assert ends.min() >= 2
    assert len(found) < len(reconstruct_pairs(pairs, views.lens, WIDTH, per_picture=8))


@pytest.mark.parametrize('bend', [-0.25, 0.06])
def test_the_bend_of_a_lens_is_found_before_its_focal_length(bend: float) -> None:
    views = ExactViews(walk(10), lens())
    focal = lens().focal
    reach = 0.5 * np.hypot(HEIGHT, WIDTH)
    middle = 0.5 * np.array([WIDTH - 1.0, HEIGHT - 1.0])

    def bent(pixels: np.ndarray) -> np.ndarray:
        straight = pixels.astype(np.float64) - middle
        near = straight.copy()
        for _ in range(100):  # the division model the other way
            near = straight * (1.0 + bend * (near**2).sum(-1, keepdims=True) / reach**2)
        return (near + middle).astype(np.float32)

    pairs = [
        dataclasses.replace(p, source=bent(p.source), target=bent(p.target))
        for p in views.pairs(3)
    ]
    found = search_lens(pairs, HEIGHT, WIDTH)
    assert found.bend == pytest.approx(bend, abs=0.04)
    # the rest is for the adjustment, which starts from here
    assert found.focal == pytest.approx(focal, rel=0.1)


def test_radial_terms_bend_like_the_division_model() -> None:
    reach, focal, bend = 446.0, 458.0, -0.3
    k1, k2 = radial_terms(bend, reach, focal)
    bent = np.linspace(0.1, 1.0, 10) * reach
    straight = bent / (1.0 + bend * (bent / reach) ** 2)
    r = straight / focal
    np.testing.assert_allclose(focal * r * (1 + k1 * r**2 + k2 * r**4), bent, atol=0.02 * focal)
