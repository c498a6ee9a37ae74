# SPDX-License-Identifier: Apache-2.0
"""The focal length during the optimisation: kept, softly selected, then a free number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact_views import ExactViews, lens, walk

from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.focal_model import FocalModel
from flowcam_ros.flowmap.links import Links

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(6), lens(300.0))


@pytest.fixture(scope='module')
def links(views: ExactViews) -> Links:
    return EdgeLinks(views.pairs(3), 200, CPU).links


def test_a_known_focal_length_is_kept_and_not_trained(views: ExactViews, links: Links) -> None:
    model = FocalModel(views.lens, 0.0, CPU)
    assert model.known and model.parameters() == []
    assert model.lens(views.maps(), links, None).focal == 300.0
    model.regress(3)
    assert model.lens(views.maps(), links, None).focal == 300.0


@pytest.mark.parametrize('start', [240.0, 300.0, 390.0])
def test_exact_depth_selects_the_true_focal_length(
    views: ExactViews, links: Links, start: float
) -> None:
    model = FocalModel(views.lens.with_focal(start), 0.2, CPU)
    weights = model.weights(views.maps(), links, None)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
    assert model.lens(views.maps(), links, None).focal == pytest.approx(300.0, rel=0.02)


def test_selection_hands_its_mean_on_to_a_free_number(views: ExactViews, links: Links) -> None:
    model = FocalModel(views.lens.with_focal(330.0), 0.2, CPU)
    soft = [model.lens(views.maps(scale=s), links, None).focal for s in (1.0, 2.0, 1.0)]
    model.regress(2)
    own = model.lens(views.maps(), links, None)
    assert own.focal == pytest.approx(float(np.exp(np.mean(np.log(soft[-2:])))), rel=1e-6)
    # from now on depth does not change it, gradients do
    other = model.lens(views.maps(scale=0.1), links, None)
    assert other.focal == own.focal
    other.numbers[0].backward()
    (parameter,) = model.parameters()
    assert parameter.grad is not None and parameter.grad.any()
    model.regress(2)
    assert model.lens(views.maps(), links, None).focal == own.focal


def test_never_asked_it_begins_where_it_was_told(views: ExactViews, links: Links) -> None:
    model = FocalModel(views.lens.with_focal(330.0), 0.1, CPU)
    model.regress(5)
    assert model.lens(views.maps(), links, None).focal == pytest.approx(330.0)


def test_gradients_reach_depth_through_the_selection(views: ExactViews, links: Links) -> None:
    maps = views.maps(32, 24)
    maps.log_inverse.requires_grad_()
    FocalModel(views.lens, 0.2, CPU).lens(maps, links, None).numbers[0].backward()
    assert maps.log_inverse.grad is not None
    assert bool(maps.log_inverse.grad.isfinite().all()) and maps.log_inverse.grad.any()


def test_all_other_numbers_of_the_lens_stay(views: ExactViews, links: Links) -> None:
    own = lens(300.0, 0.01, -0.02, 1.1)
    found = FocalModel(own, 0.2, CPU).lens(views.maps(), links, None)
    assert found.numbers[1:].tolist() == own.numbers[1:].tolist()
    assert found.aspect == own.aspect
