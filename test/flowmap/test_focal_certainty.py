# SPDX-License-Identifier: Apache-2.0
"""The promised error of the focal length is about the one it has."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, lens, walk

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.polish import Polished, lens_prior, polish
from flowcam_ros.flowmap.polish_config import PolishConfig

FOCAL = 300.0
TRIALS = 8


def adjusted(views: ExactViews, tracks: Tracks) -> Polished:
    config = PolishConfig()
    prior = lens_prior(views.lens, False, False, (WIDTH, HEIGHT), config)
    start = views.maps(64, 48), views.lens, torch.from_numpy(views.poses)
    return polish(tracks, *start, prior, config, lambda *_: None)


def bent(tracks: Tracks, sigma: float, random: np.random.Generator) -> Tracks:
    """Return the tracks with each picture sheared and bent a little, as a shaken shutter does."""
    shear, bend = sigma * random.normal(size=(2, int(tracks.frame.max()) + 1))[:, tracks.frame]
    centre = (np.array([WIDTH, HEIGHT]) - 1) / 2
    away = (tracks.pixel - centre) / WIDTH
    moved = away * (1.0 + bend * np.square(away).sum(-1))[:, None]
    moved[:, 0] += shear * away[:, 1]
    return dataclasses.replace(tracks, pixel=(centre + WIDTH * moved).astype(np.float32))


@pytest.mark.parametrize('shared', [0.0, 0.02])
def test_errors_that_a_picture_shares_are_counted(shared: float) -> None:
    views = ExactViews(walk(12), lens(FOCAL))
    random = np.random.default_rng(0)
    ratio = []
    for trial in range(TRIALS):
        tracks = views.tracks(views.points(300, trial), 0.2, trial)
        result = adjusted(views, bent(tracks, shared, random))
        ratio.append(np.log(result.lens.focal / FOCAL) / result.focal_log_sigma)
    assert 0.3 < np.sqrt(np.mean(np.square(ratio))) < 2.5


def test_shared_errors_make_it_less_sure() -> None:
    views = ExactViews(walk(12), lens(FOCAL))
    tracks = views.tracks(views.points(300), noise_px=0.2)
    worse = bent(tracks, 0.02, np.random.default_rng(1))
    alone, shared = (adjusted(views, part).focal_log_sigma for part in (tracks, worse))
    assert 0.0 < alone < 0.01
    assert shared > 2.0 * alone
