# SPDX-License-Identifier: Apache-2.0
"""What the losses draw: links of tracks and matches, targets of depth, candidate edges."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import WIDTH, ExactViews, lens, walk

from flowcam_ros.correspondence.tracks import no_tracks
from flowcam_ros.flowmap.depth_targets import TwoViewTargets
from flowcam_ros.flowmap.edges import EdgeLinks, median_errors
from flowcam_ros.flowmap.links import LinkSource, MatchLinks, TrackLinks
from flowcam_ros.flowmap.two_view import reconstruct_pairs

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(5), lens())


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_links_of_tracks_join_two_different_frames_of_one_point(views: ExactViews) -> None:
    points = views.points(80)
    tracks = views.tracks(points)
    source = TrackLinks(tracks, CPU)
    assert isinstance(source, LinkSource)
    links = source.draw(500, random())
    assert len(links.first) == 500
    assert bool((links.first != links.second).all())
    pixel = {(int(f), *p): int(n) for n, f, p in
             zip(tracks.point, tracks.frame, tracks.pixel.tolist(), strict=True)}  # fmt: skip
    for a, b, p, q in zip(
        links.first.tolist(), links.second.tolist(),
        links.source.tolist(), links.target.tolist(), strict=True,
    ):  # fmt: skip
        assert pixel[(a, *p)] == pixel[(b, *q)]
    assert set(links.first.tolist()) == set(range(5))


def test_links_of_matches_are_matches_and_each_pair_is_as_likely(views: ExactViews) -> None:
    pairs = [views.pair(0, 1, 20), views.pair(1, 3, 200)]
    links = MatchLinks(pairs, CPU).draw(2000, random())
    first = int((links.first == 0).sum())
    assert 850 < first < 1150
    for pair in pairs:
        own = links.first == pair.first
        known = {(*p, *q) for p, q in zip(pair.source.tolist(), pair.target.tolist(), strict=True)}
        ends = (links.source[own].tolist(), links.target[own].tolist())
        drawn = {(*p, *q) for p, q in zip(*ends, strict=True)}
        assert drawn <= known
        assert set(links.second[own].tolist()) == {pair.second}
    assert bool((links.confidence == 1.0).all())


def test_nothing_gives_no_links() -> None:
    assert len(TrackLinks(no_tracks(), CPU).draw(10, random()).first) == 0
    assert len(MatchLinks([], CPU).draw(10, random()).first) == 0


def test_the_same_seed_draws_the_same(views: ExactViews) -> None:
    source = MatchLinks(views.pairs(2), CPU)
    one, other = source.draw(50, random(3)), source.draw(50, random(3))
    assert torch.equal(one.source, other.source)
    assert not torch.equal(one.source, source.draw(50, random(4)).source)


def test_links_seen_from_both_ends(views: ExactViews) -> None:
    links = MatchLinks(views.pairs(1), CPU).draw(10, random())
    both = links.both_ways()
    assert len(both.first) == 20
    assert torch.equal(both.source[10:], links.target)
    assert torch.equal(both.second[10:], links.first)


def test_edges_take_all_matches_and_repeat_them_where_there_are_few(views: ExactViews) -> None:
    pairs = [views.pair(0, 1, 10), views.pair(1, 2, 300)]
    edges = EdgeLinks(pairs, 64, CPU)
    assert edges.links.source.shape == (2, 64, 2)
    few = {tuple(p) for p in edges.links.source[0].tolist()}
    assert few == {tuple(p) for p in pairs[0].source.tolist()}
    assert len({tuple(p) for p in edges.links.source[1].tolist()}) == 64
    part = edges.subset(np.array([1]))
    assert part.first.tolist() == [[1] * 64] and part.second.tolist() == [[2] * 64]


def test_exact_depth_explains_every_edge_and_wrong_depth_does_not(views: ExactViews) -> None:
    edges = EdgeLinks(views.pairs(2), 128, CPU)
    exact = median_errors(edges.links, views.maps(), views.lens, None)
    assert float(exact.max()) < 0.05
    flat = dataclasses.replace(views.maps(), log_inverse=torch.zeros(5, 240, 320))
    assert float(median_errors(edges.links, flat, views.lens, None).max()) > 1.0


def test_the_tree_avoids_the_pair_whose_matches_are_wrong(views: ExactViews) -> None:
    wrong = views.pair(1, 2, 600)  # it would be the best by number
    wrong = dataclasses.replace(wrong, target=random().permutation(wrong.target))
    good = [views.pair(0, 1), views.pair(0, 2), views.pair(2, 3), views.pair(3, 4)]
    tree = EdgeLinks([wrong, *good], 128, CPU).tree(views.maps(), views.lens, None)
    assert sorted(tree.order) == [0, 1, 2, 3, 4]
    assert 0 not in tree.edge


def test_targets_are_met_by_depth_of_any_scale_and_missed_by_depth_inside_out(
    views: ExactViews,
) -> None:
    pairs = reconstruct_pairs(views.pairs(3), views.lens, WIDTH, 3)
    targets = TwoViewTargets(pairs, CPU).draw(64, random())
    assert targets.frame.shape == (len(pairs), 128)
    assert float(targets.loss(views.maps())) < 0.05
    assert float(targets.loss(views.maps(scale=7.0))) < 0.05
    maps = views.maps()
    hollow = dataclasses.replace(maps, log_inverse=-maps.log_inverse)
    flat = dataclasses.replace(maps, log_inverse=torch.zeros_like(maps.log_inverse))
    right, level, wrong = (float(targets.loss(m)) for m in (maps, flat, hollow))
    assert right < 0.1 * level < level < wrong


def test_a_frame_with_a_scale_of_its_own_is_missed(views: ExactViews) -> None:
    """Both ends of a pair share one factor: else frames would drift apart in scale."""
    pairs = reconstruct_pairs(views.pairs(1), views.lens, WIDTH, 3)
    targets = TwoViewTargets(pairs, CPU).draw(64, random())
    maps = views.maps()
    shift = torch.tensor([0.0, 0.7, 0.0, 0.0, 0.0])[:, None, None]
    other = dataclasses.replace(maps, log_inverse=maps.log_inverse + shift)
    assert float(targets.loss(other)) > 10 * float(targets.loss(maps))
