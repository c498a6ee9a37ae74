# SPDX-License-Identifier: Apache-2.0
"""Poses in closed form: exact from exact depth, along a tree that bad pairs do not part."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import ExactViews, aligned, lens, pose_errors, walk

from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.network import FEATURES, MatchWeights
from flowcam_ros.flowmap.pose_tree import (
    PoseTree,
    as_transforms,
    chained,
    grow_tree,
    relative_poses,
    rigid_inverse,
)
from flowcam_ros.geometry.procrustes import RigidFit
from flowcam_ros.geometry.se3 import exp, inverse

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(6), lens())


def poses_of(views: ExactViews, edges: EdgeLinks, tree: PoseTree) -> np.ndarray:
    fits = relative_poses(edges.links, views.maps(), views.lens, None)
    return chained(tree, fits, len(views.poses)).numpy()


def test_exact_depth_gives_exact_poses(views: ExactViews) -> None:
    edges = EdgeLinks(views.pairs(2), 200, CPU)
    tree = edges.tree(views.maps(), views.lens, None)
    found, factor = aligned(poses_of(views, edges, tree), views.poses)
    away, angle = pose_errors(found, views.poses)
    assert away < 1e-3 and angle < 0.02
    assert factor == pytest.approx(1.0, abs=1e-3)


def test_poses_scale_with_depth(views: ExactViews) -> None:
    edges = EdgeLinks(views.pairs(1), 200, CPU)
    maps = views.maps()
    one = as_transforms(relative_poses(edges.links, maps, views.lens, None))
    more = dataclasses.replace(maps, log_inverse=maps.log_inverse - np.log(3.0))
    other = as_transforms(relative_poses(edges.links, more, views.lens, None))
    assert torch.allclose(3.0 * one[:, :3, 3], other[:, :3, 3], atol=1e-4)
    assert torch.allclose(one[:, :3, :3], other[:, :3, :3], atol=1e-5)


def test_trust_takes_wrong_links_out(views: ExactViews) -> None:
    """Half of the picture moves; features that tell it from the rest, and trust in these."""
    pair = views.pair(0, 1)
    moving = pair.source[:, 0] > 160
    target = pair.target + np.float32(6.0) * moving[:, None]
    edges = EdgeLinks([dataclasses.replace(pair, target=target)], 300, CPU)
    features = torch.zeros(6, 120, 160, FEATURES)
    features[:, :, 80:, 0] = 1.0
    maps = dataclasses.replace(views.maps(), features=features)
    trust = MatchWeights()
    for layer, weight in ((0, 1.0), (2, 1.0), (4, -40.0)):
        torch.nn.init.zeros_(trust.layers[layer].weight)
        torch.nn.init.zeros_(trust.layers[layer].bias)
        with torch.no_grad():
            trust.layers[layer].weight[0, 0] = weight
    true = inverse(views.poses[1]) @ views.poses[0]
    with torch.no_grad():
        fooled = as_transforms(relative_poses(edges.links, maps, views.lens, None))[0].numpy()
        right = as_transforms(relative_poses(edges.links, maps, views.lens, trust))[0].numpy()
    assert np.abs(right - true).max() < 5e-3
    assert np.abs(fooled - true).max() > 0.02


def test_gradients_reach_depth_and_lens(views: ExactViews) -> None:
    edges = EdgeLinks(views.pairs(1), 50, CPU)
    maps = views.maps(32, 24)
    maps.log_inverse.requires_grad_()
    own = dataclasses.replace(views.lens, numbers=views.lens.numbers.clone().requires_grad_())
    tree = grow_tree(6, edges.first, edges.second, np.ones(len(edges.first)))
    fits = relative_poses(edges.links, maps, own, None)
    chained(tree, fits, 6)[:, :3, 3].square().sum().backward()
    for leaf in (maps.log_inverse, own.numbers):
        assert leaf.grad is not None and bool(leaf.grad.isfinite().all()) and leaf.grad.any()


def test_the_cheapest_tree_is_grown() -> None:
    first, second = np.array([0, 1, 0, 2]), np.array([1, 2, 2, 3])
    tree = grow_tree(4, first, second, np.array([1.0, 9.0, 1.0, 1.0]))
    assert sorted(tree.order) == [0, 1, 2, 3]
    assert sorted(e for e in tree.edge if e >= 0) == [0, 2, 3]
    for frame in tree.order[1:]:
        assert tree.order.index(tree.parent[frame]) < tree.order.index(frame)
        ends = (int(first[tree.edge[frame]]), int(second[tree.edge[frame]]))
        expected = (tree.parent[frame], frame) if tree.down[frame] else (frame, tree.parent[frame])
        assert ends == expected
    root = tree.order[0]
    assert tree.parent[root] == -1 and tree.edge[root] == -1


def test_only_the_largest_group_of_frames_is_reached(views: ExactViews) -> None:
    """Frames 0 and 1 see each other, 2 to 4 too, and frame 5 nobody."""
    pairs = [views.pair(0, 1), views.pair(2, 3), views.pair(3, 4)]
    edges = EdgeLinks(pairs, 100, CPU)
    tree = edges.tree(views.maps(), views.lens, None)
    assert sorted(tree.order) == [2, 3, 4]
    poses = poses_of(views, edges, tree)
    for frame in (0, 1, 5):
        assert np.array_equal(poses[frame], np.eye(4))
    found, _ = aligned(poses[2:5], views.poses[2:5])
    assert pose_errors(found, views.poses[2:5])[0] < 1e-3


def test_a_tree_hands_down_motions_in_either_direction() -> None:
    rng = np.random.default_rng(0)
    true = np.stack([exp(rng.normal(size=6)) for _ in range(3)])
    ends = [(0, 1), (2, 1)]
    relative = np.stack([inverse(true[b]) @ true[a] for a, b in ends])
    fits = RigidFit(
        torch.from_numpy(relative[:, :3, :3]), torch.from_numpy(relative[:, :3, 3]), torch.ones(2)
    )
    tree = grow_tree(3, np.array([0, 2]), np.array([1, 1]), np.ones(2))
    found = chained(tree, fits, 3).numpy()
    expected = inverse(true[tree.order[0]]) @ true
    assert np.allclose(found, expected, atol=1e-12)


def test_the_inverse_of_transforms() -> None:
    rng = np.random.default_rng(0)
    poses = torch.from_numpy(np.stack([exp(rng.normal(size=6)) for _ in range(5)]))
    assert torch.allclose(rigid_inverse(poses) @ poses, torch.eye(4).double(), atol=1e-12)
