# SPDX-License-Identifier: Apache-2.0
"""Poses in closed form and as free numbers agree where depth is exact."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import ExactViews, aligned, lens, pose_errors, walk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.pose_models import POSE_MODELS, PoseModel, rotations
from flowcam_ros.flowmap.refine_config import ModelConfig
from flowcam_ros.settings import describe

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(5), lens())


def model(views: ExactViews, name: str) -> PoseModel:
    made = POSE_MODELS[name](EdgeLinks(views.pairs(2), 128, CPU), 5, CPU)
    assert isinstance(made, PoseModel)
    return made


def test_every_model_can_be_chosen() -> None:
    choices = next(o.choices for o in describe(ModelConfig) if o.name == 'poses')
    assert set(choices or ()) == set(POSE_MODELS)


@pytest.mark.parametrize('name', POSE_MODELS)
def test_exact_depth_gives_exact_poses(views: ExactViews, name: str) -> None:
    poses = model(views, name)
    tree = poses.plan(views.maps(), views.lens, None)
    assert sorted(tree.order) == [0, 1, 2, 3, 4]
    found = poses.poses(views.maps(), views.lens, None).detach().double().numpy()
    away, angle = pose_errors(aligned(found, views.poses)[0], views.poses)
    assert away < 0.01 and angle < 0.2


def test_free_poses_do_not_follow_depth_and_can_be_trained(views: ExactViews) -> None:
    poses = model(views, 'regressed')
    poses.plan(views.maps(), views.lens, None)
    before = poses.poses(views.maps(), views.lens, None)
    flat = dataclasses.replace(views.maps(), log_inverse=torch.zeros(5, 240, 320))
    poses.plan(flat, views.lens, None)
    assert torch.equal(before, poses.poses(flat, views.lens, None))
    (numbers,) = poses.parameters()
    before[:, :3].square().sum().backward()
    assert numbers.grad is not None and bool(torch.isfinite(numbers.grad).all())


def test_closed_form_follows_depth_and_has_nothing_to_train(views: ExactViews) -> None:
    poses = model(views, 'procrustes')
    assert poses.parameters() == []
    maps = views.maps(64, 48)
    maps.log_inverse.requires_grad_()
    poses.plan(maps, views.lens, None)
    poses.poses(maps, views.lens, None)[:, :3, 3].square().sum().backward()
    assert maps.log_inverse.grad is not None and float(maps.log_inverse.grad.abs().max()) > 0


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_quaternions_are_turned_into_rotations(numbers: list[float]) -> None:
    if np.linalg.norm(numbers) < 1e-3:
        return
    found = rotations(torch.tensor([numbers], dtype=torch.float64)).numpy()
    assert np.allclose(found, Rotation.from_quat([numbers]).as_matrix(), atol=1e-9)


@pytest.mark.parametrize('name', POSE_MODELS)
def test_what_was_settled_can_be_restored(views: ExactViews, name: str) -> None:
    one, other = model(views, name), model(views, name)
    one.plan(views.maps(), views.lens, None)
    other.restore(one.state())
    for mine, theirs in zip(other.parameters(), one.parameters(), strict=True):
        mine.data.copy_(theirs)
    found, kept = (p.poses(views.maps(), views.lens, None) for p in (one, other))
    assert torch.equal(found, kept)
