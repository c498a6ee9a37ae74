# SPDX-License-Identifier: Apache-2.0
"""CoTracker's adapter around a stand-in for the authors' model, with its interface.

The package and its weights may not be brought along (non-commercial licence). The stand-in takes
and returns what ``CoTrackerThreeOffline`` does; it moves all points as its one weight says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from recordings import HeldPictures, textured

from flowcam_ros.correspondence.config import FlowConfig, TrackConfig
from flowcam_ros.correspondence.registry import make_flow, make_tracks
from flowcam_ros.correspondence.tracks import TrackEstimator, Tracks
from flowcam_ros.errors import ConfigError

PACKAGE = 'cotracker.models.core.cotracker.cotracker3_offline'
STEP = (2.0, 1.0)  # pixels of the model's size, from picture to picture


class Model(torch.nn.Module):
    """Moves points evenly; sees those with an even x, is sure of all."""

    calls: list[tuple[torch.Size, torch.Size]]

    def __init__(self, stride: int, corr_radius: int, window_len: int) -> None:
        super().__init__()
        assert (stride, corr_radius, window_len) == (4, 3, 60)
        self.step = torch.nn.Parameter(torch.zeros(2))

    def forward(self, video: torch.Tensor, queries: torch.Tensor, iters: int) -> tuple:
        assert video.shape[0] == 1 and video.shape[2:] == (3, 384, 512)
        assert video.min() >= 0 and 1 < video.max() <= 255
        frames = torch.arange(video.shape[1])[:, None]
        Model.calls.append((video.shape, queries.shape))
        away = (frames - queries[0, :, 0])[..., None] * self.step
        place = queries[0, None, :, 1:] + away
        ones = torch.ones(place.shape[:2])
        return place[None], ones[None], ones[None] * 0.9, None


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    names = PACKAGE.split('.')
    for depth in range(1, len(names) + 1):
        monkeypatch.setitem(sys.modules, '.'.join(names[:depth]), ModuleType('.'.join(names)))
    monkeypatch.setattr(sys.modules[PACKAGE], 'CoTrackerThreeOffline', Model, raising=False)
    Model.calls = []


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> str:
    save = pytest.importorskip('safetensors.torch', reason='safetensors is not installed')
    save.save_file(tensors, path)
    return str(path)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return saved(tmp_path / 'w.safetensors', {'step': torch.tensor(STEP)})


def estimator(weights: str, points: int = 300) -> Any:
    config = TrackConfig(backend='cotracker', weights=weights, points=points)
    return make_tracks(config, make_flow(FlowConfig()))


def check(tracks: Tracks) -> None:
    assert len(np.unique(np.stack([tracks.point, tracks.frame], 1), axis=0)) == len(tracks)
    assert np.bincount(tracks.point).min() >= 2


def test_points_come_back_in_pixels_of_the_pictures(package: None, weights: str) -> None:
    pictures = HeldPictures([textured(0)] * 6)
    found = estimator(weights)
    assert isinstance(found, TrackEstimator)
    tracks = found.track(pictures)
    check(tracks)
    assert tracks.points > 100
    same = tracks.point[1:] == tracks.point[:-1]
    assert (np.diff(tracks.frame)[same] == 1).all()
    moved = np.diff(tracks.pixel, axis=0)[same]
    expected = np.array(STEP) * (319 / 511, 239 / 383)
    np.testing.assert_allclose(moved, np.broadcast_to(expected, moved.shape), atol=1e-3)
    assert set(np.unique(tracks.sigma).round(2)) == {np.float32(0.1), np.float32(0.47)}


def test_points_outside_and_under_masks_are_not_seen(package: None, weights: str) -> None:
    usable = np.ones((240, 320), bool)
    usable[:, 100:160] = False
    pictures = HeldPictures([textured(1)] * 30, [usable] * 30)
    tracks = estimator(weights).track(pictures)
    check(tracks)
    assert (tracks.pixel > -0.5).all() and (tracks.pixel < (319.5, 239.5)).all()
    assert not ((tracks.pixel[:, 0] > 99.5) & (tracks.pixel[:, 0] < 159.5)).any()


def test_long_recordings_are_seen_through_windows(package: None, weights: str) -> None:
    tracks = estimator(weights).track(HeldPictures([textured(2)] * 100))
    check(tracks)
    assert set(tracks.frame.tolist()) == set(range(100))
    assert {video[1] for video, _ in Model.calls} == {48, 36}
    lengths = np.bincount(tracks.point)
    assert lengths.max() <= 48


def test_many_points_are_followed_in_parts(package: None, weights: str) -> None:
    estimator(weights, points=4000).track(HeldPictures([textured(3)] * 3))
    assert max(queries[1] for _, queries in Model.calls) <= 512
    assert sum(queries[1] for _, queries in Model.calls) > 2000


@pytest.mark.parametrize('count', [0, 1, 2])
def test_few_or_blank_pictures_are_no_trouble(package: None, weights: str, count: int) -> None:
    blank = np.full((240, 320), 80, np.uint8)
    assert len(estimator(weights).track(HeldPictures([blank] * count))) == 0


def test_weights_that_do_not_fit_are_named(package: None, tmp_path: Path) -> None:
    other = saved(tmp_path / 'other.safetensors', {'stride': torch.zeros(1)})
    with pytest.raises(ConfigError, match=r'not of CoTracker3 offline: tensor step is missing'):
        estimator(other)


def test_without_weights_it_says_what_to_do(package: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'tracks.weights: .*needs the path.*docs/backends.md'):
        estimator('')


def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'cotracker', None)
    with pytest.raises(ConfigError, match=r"'cotracker' needs the package.*docs/backends.md"):
        estimator('any')
