# SPDX-License-Identifier: Apache-2.0
"""The path that a refinement may start from: its poses at the stamps of frames, and its depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact_views import WIDTH, ExactViews, lens, turn, walk

from flowcam_ros.errors import ConfigError, SequenceError
from flowcam_ros.flowmap.depth_start import check_start, views_along, views_of_matches
from flowcam_ros.flowmap.depth_targets import TwoViewTargets
from flowcam_ros.flowmap.online_path import OnlinePath, TrackedFrames
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.two_view import TwoViews
from flowcam_ros.sequences import open_sequence
from flowcam_ros.settings import build

STAMPS = np.arange(5, dtype=np.int64) * 100_000_000


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(5), lens())


def depth_along(views: ExactViews, path: OnlinePath) -> list[TwoViews]:
    return views_along(path, STAMPS, views.pairs(3), views.lens, WIDTH)


def test_poses_are_found_by_their_stamps(views: ExactViews) -> None:
    path = OnlinePath(STAMPS[1:4] + 900, views.poses[1:4])
    poses, known = path.at(STAMPS)
    assert known.tolist() == [False, True, True, True, False]
    assert np.array_equal(poses[1:4], views.poses[1:4])
    assert np.array_equal(poses[0], np.eye(4))
    assert not OnlinePath(STAMPS[:0], views.poses[:0]).at(STAMPS)[1].any()


def test_depth_along_a_path_has_one_unit_for_all_pairs(views: ExactViews) -> None:
    path = OnlinePath(STAMPS, views.poses)
    pairs = depth_along(views, path)
    assert len(pairs) > 4
    targets = TwoViewTargets(pairs, torch.device('cpu'), free_scale=False)
    drawn = targets.draw(64, np.random.default_rng(0))
    maps = views.maps()
    middle = float(np.median(np.concatenate([p.log_inverse.ravel() for p in pairs])))
    assert middle == pytest.approx(0.0, abs=1e-9)
    gap = maps.inverse_depth(drawn.frame, drawn.pixel).log() - drawn.log_inverse
    assert float((gap - gap.median()).abs().max()) < 0.05
    assert not drawn.free_scale


def test_a_wrong_motion_gives_no_depth(views: ExactViews) -> None:
    wrong = views.poses.copy()
    wrong[2, :3, 3] += (0.0, 0.8, 0.0)
    pairs = depth_along(views, OnlinePath(STAMPS, wrong))
    assert all(2 not in (p.first, p.second) for p in pairs)


def test_a_path_of_another_recording_is_refused(views: ExactViews) -> None:
    path = OnlinePath(STAMPS + 10**15, views.poses)
    with pytest.raises(SequenceError, match='poses of 0 of 5 chosen frames'):
        depth_along(views, path)
    wild = views.poses @ np.diag([1.0, -1.0, -1.0, 1.0])
    wild[:, :3, 3] = np.random.default_rng(0).normal(size=(5, 3)) * 9
    with pytest.raises(SequenceError, match='does not fit the odometry'):
        depth_along(views, OnlinePath(STAMPS, wild))


@pytest.mark.parametrize(('share', 'some'), [(1.0, True), (0.2, False)])
def test_little_parallax_is_no_depth_but_no_mere_turn(share: float, some: bool) -> None:
    poses = walk(3)
    poses[:, :3, 3] *= share
    views = ExactViews(poses, lens())
    assert bool(views_of_matches(views.pairs(1), views.lens, WIDTH)) == some


def test_a_mere_turn_is_refused() -> None:
    views = ExactViews(turn(3), lens())
    with pytest.raises(SequenceError, match='no two frames show enough parallax'):
        views_of_matches(views.pairs(1), views.lens, WIDTH)


def test_frames_are_tracked_as_they_are_read() -> None:
    sequence = open_sequence('synthetic:orbit?frames=12&width=240&height=176')
    tracked = TrackedFrames(sequence, RefineConfig())
    frames = list(tracked)
    assert [f.stamp_ns for f in frames] == [f.stamp_ns for f in sequence]
    truth = sequence.ground_truth()
    poses, known = tracked.path().at(truth.stamps_ns)
    assert known.sum() >= 11
    away = poses[known][:, :3, 3] - poses[known][0, :3, 3]
    true = truth.positions[known] - truth.positions[known][0]
    lengths = np.linalg.norm(away, axis=1), np.linalg.norm(true, axis=1)
    assert np.allclose(*lengths, atol=0.02)


def test_what_cannot_be_started_is_said_before_a_recording_is_read(views: ExactViews) -> None:
    path = OnlinePath(STAMPS, views.poses)
    for values, given, text in (
        ({'model.start': 'two_views'}, path, 'contradict'),
        ({'model.start': 'online', 'intrinsics.mode': 'unknown'}, None, 'needs a calibration'),
        ({'model.start_weights': 'x', 'model.depth': 'explicit'}, None, 'has no network'),
        ({'model.start_weights': 'nowhere'}, None, 'is not there'),
        ({'model.depth_prior': 'nowhere'}, None, 'is not there'),
    ):
        with pytest.raises(ConfigError, match=text):
            check_start(build(RefineConfig, values), given)
    check_start(RefineConfig(), None)
    check_start(RefineConfig(), path)
