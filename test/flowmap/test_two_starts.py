# SPDX-License-Identifier: Apache-2.0
"""A scene that begins inside out is turned, and one that begins rightly is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, lens, walk

from flowcam_ros.flowmap.depth_model import ExplicitDepth
from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.focal_model import FocalModel
from flowcam_ros.flowmap.lens_search import telling_pairs
from flowcam_ros.flowmap.links import MatchLinks
from flowcam_ros.flowmap.optimize import FlowMapScene
from flowcam_ros.flowmap.optimizer_config import OptimizerConfig
from flowcam_ros.flowmap.pose_models import ProcrustesPoses
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.flowmap.two_starts import take_better_side

CPU = torch.device('cpu')
SHORT = OptimizerConfig(start_steps=15, samples=512, rate=0.01)


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(4), lens(300.0))


def scene_of(views: ExactViews) -> FlowMapScene:
    pairs = views.pairs(3)
    edges = EdgeLinks(telling_pairs(pairs), 128, CPU)
    sources = {'match': (MatchLinks(pairs, CPU), 1.0)}
    model = ExplicitDepth(4, 24, 32, CPU)
    focal = FocalModel(views.lens, 0.0, CPU)
    return FlowMapScene(
        model, None, focal, edges, ProcrustesPoses(edges), sources, (WIDTH, HEIGHT)
    )


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_the_side_that_explains_the_matches_is_taken(views: ExactViews, sign: float) -> None:
    true = views.maps(32, 24).log_inverse
    true = true - true.mean()
    scene, told = scene_of(views), list[StepReport]()
    (depth,) = scene.model.parameters()
    with torch.no_grad():
        depth.copy_(sign * true)
    take_better_side(scene, lambda: scene_of(views), SHORT, told.append, 1, 0)
    found = depth.detach().ravel().numpy()
    assert np.corrcoef(found, true.ravel().numpy())[0, 1] > 0.8
    assert [r.stage for r in told] == ['one side'] * 15 + ['the other side'] * 15


def test_without_steps_what_was_there_stays(views: ExactViews) -> None:
    scene = scene_of(views)
    (depth,) = scene.model.parameters()
    with torch.no_grad():
        depth.copy_(views.maps(32, 24).log_inverse)
    before = depth.detach().clone()
    none = OptimizerConfig(start_steps=0)
    take_better_side(scene, lambda: scene_of(views), none, lambda _report: None, 1, 0)
    assert torch.equal(depth.detach(), before)
