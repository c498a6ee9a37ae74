# SPDX-License-Identifier: Apache-2.0
"""The loss is nothing at the truth, drops what lies behind, and cannot be cheated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import WIDTH, ExactViews, lens, walk

from flowcam_ros.flowmap.links import Links, MatchLinks
from flowcam_ros.flowmap.losses import induced, link_loss, robust_mean
from flowcam_ros.flowmap.maps import Maps

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(4), lens())


@pytest.fixture(scope='module')
def links(views: ExactViews) -> Links:
    return MatchLinks(views.pairs(2), CPU).draw(400, np.random.default_rng(0))


def flat(inverse: float) -> Maps:
    log_inverse = torch.full((2, 24, 32), float(np.log(inverse)))
    return Maps(log_inverse, torch.zeros(2, 1, 1, 0), 320, 240)


def link(x: float, y: float, u: float, v: float) -> Links:
    return Links(
        torch.tensor([0]), torch.tensor([1]), torch.tensor([[x, y]]), torch.tensor([[u, v]]),
        torch.ones(1),
    )  # fmt: skip


def ahead_by(z: float) -> torch.Tensor:
    """Return second_from_first of a camera that went forwards by ``z``."""
    pose = torch.eye(4)
    pose[2, 3] = -z
    return pose


def test_true_depth_and_poses_induce_the_matches(views: ExactViews, links: Links) -> None:
    poses = torch.from_numpy(views.poses).float()
    motion = torch.linalg.solve(poses[links.second], poses[links.first])
    predicted, ahead = induced(links, views.maps(), views.lens, motion)
    assert bool(ahead.all())
    assert float((predicted - links.target).norm(dim=-1).max()) < 0.05
    assert float(link_loss(links, views.maps(), views.lens, poses, 1.0)) < 1e-3


def test_the_loss_does_not_ask_for_the_unit(views: ExactViews, links: Links) -> None:
    poses = torch.from_numpy(views.poses).float()
    larger = poses.clone()
    larger[:, :3, 3] *= 5.0
    one = link_loss(links, views.maps(), views.lens, poses, 1.0)
    other = link_loss(links, views.maps(scale=5.0), views.lens, larger, 1.0)
    assert float(one) == pytest.approx(float(other), abs=1e-5)


def test_points_behind_the_camera_take_no_part(views: ExactViews) -> None:
    past = link(160.0, 120.0, 10.0, 10.0)
    poses = torch.stack([torch.eye(4), torch.eye(4)])
    poses[1, 2, 3] = 3.0  # two metres behind the point at one metre
    maps = flat(1.0)
    maps.log_inverse.requires_grad_()
    _, ahead = induced(past, maps, views.lens, ahead_by(3.0))
    assert ahead.tolist() == [False]
    loss = link_loss(past, maps, views.lens, poses, 1.0)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert maps.log_inverse.grad is not None
    assert not maps.log_inverse.grad.any()


def test_a_prediction_outside_the_picture_still_counts(views: ExactViews) -> None:
    """A loss that drops what it puts outside would gain by putting it there."""
    near = link(300.0, 120.0, 310.0, 120.0)
    # one metre ahead in depth 1.2: the point is predicted far outside
    maps, poses = flat(1 / 1.2), torch.stack([torch.eye(4), torch.eye(4)])
    poses[1, 2, 3] = 1.0
    predicted, ahead = induced(near, maps, views.lens, ahead_by(1.0))
    assert float(predicted[0, 0]) > WIDTH and ahead.tolist() == [True]
    maps.log_inverse.requires_grad_()
    loss = link_loss(near, maps, views.lens, poses, 4.0)
    loss.backward()
    gradient = maps.log_inverse.grad
    assert gradient is not None and gradient.any()
    # less inverse depth is further away, which brings it back
    assert float(gradient[0].sum()) > 0


def test_confidence_decides_how_much_a_link_counts(views: ExactViews, links: Links) -> None:
    poses = torch.from_numpy(views.poses).float()
    wrong = dataclasses.replace(links, target=links.target + 30.0)
    parts = zip(dataclasses.astuple(links), dataclasses.astuple(wrong), strict=True)
    both = Links(*(torch.cat([a, b]) for a, b in parts))
    trusted = torch.cat([torch.ones(400), torch.zeros(400)])
    loss = link_loss(
        dataclasses.replace(both, confidence=trusted), views.maps(), views.lens, poses, 1.0
    )
    assert float(loss) < 1e-3


def test_the_further_off_the_less_a_link_pulls() -> None:
    error = torch.tensor([0.5, 2.0, 20.0, 200.0], requires_grad=True)
    robust_mean(error, torch.ones(4), 1.0).backward()
    assert error.grad is not None
    assert error.grad[1] > error.grad[2] > error.grad[3] > 0
    # near nothing it is a half of the square
    small = torch.tensor([0.01])
    assert float(robust_mean(small, torch.ones(1), 1.0)) == pytest.approx(0.5e-4, rel=1e-3)


def test_no_link_at_all_is_no_loss_and_no_nan(views: ExactViews) -> None:
    none = Links(
        torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0),
    )  # fmt: skip
    poses = torch.from_numpy(views.poses).float()
    assert float(link_loss(none, views.maps(), views.lens, poses, 1.0)) == 0.0


def test_the_gradient_is_finite_where_the_match_is_perfect(views: ExactViews) -> None:
    maps = flat(1.0)
    maps.log_inverse.requires_grad_()
    poses = torch.stack([torch.eye(4), torch.eye(4)])
    link_loss(link(50.0, 60.0, 50.0, 60.0), maps, views.lens, poses, 1.0).backward()
    assert maps.log_inverse.grad is not None
    assert bool(maps.log_inverse.grad.isfinite().all())
