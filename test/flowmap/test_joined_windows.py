# SPDX-License-Identifier: Apache-2.0
"""Windows become one result: poses, depth, lens."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from exact_views import ExactViews, aligned, lens, pose_errors, walk
from exact_windows import random_similarity, seen_by_two, window_results

from flowcam_ros.flowmap.flow_stage import FlowStage, LensStart
from flowcam_ros.flowmap.joined_windows import common_lens, joined_flow
from flowcam_ros.flowmap.window_stage import join_windows
from flowcam_ros.flowmap.window_work import WindowResult

FRAMES = 12
WINDOWS = [range(6), range(3, 9), range(6, 12)]
START = LensStart(lens(), 0.0, None)


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(FRAMES), lens())


@pytest.fixture(scope='module')
def results(views: ExactViews) -> list[WindowResult]:
    random = np.random.default_rng(1)
    points = seen_by_two(views, views.points(900))
    tracks = views.tracks(views.points(900))
    worlds = [random_similarity(random) for _ in WINDOWS]
    return window_results(views, points, tracks, WINDOWS, worlds)


def joined(results: list[WindowResult]) -> FlowStage:
    return join_windows(results, FRAMES, START)


def test_exact_windows_are_exact_together(views: ExactViews, results: list[WindowResult]) -> None:
    flow = joined(results)
    path, factor = aligned(flow.poses.numpy(), views.poses)
    away, angle = pose_errors(path, views.poses)
    assert away < 1e-3
    assert angle < 0.02
    assert flow.reached.all()
    assert not flow.left_out
    # depth is in the unit of the poses
    exact, found = views.maps(32, 24).log_inverse, flow.maps.log_inverse - np.log(factor)
    seen = exact.isfinite()  # some rays pass the relief by
    assert torch.allclose(found[seen], exact[seen], atol=2e-3)


def test_a_window_that_shares_nothing_is_left_out_and_told(results: list[WindowResult]) -> None:
    last = results[2]
    strange = dataclasses.replace(last.found, number=last.found.number + 1_000_000)
    flow = joined([*results[:2], dataclasses.replace(last, found=strange)])
    assert flow.reached.tolist() == [True] * 9 + [False] * 3
    told = ('chosen frames 7 to 12 are left out: they share nothing with the others',)
    assert flow.left_out == told


def test_poses_go_over_from_one_window_to_the_next(results: list[WindowResult]) -> None:
    one = results[0]
    moved = one.poses.copy()
    moved[:, 0, 3] += 0.09
    frames = range(3, 9)
    other = dataclasses.replace(
        one, frames=frames, found=dataclasses.replace(one.found, poses=moved)
    )
    same = dataclasses.replace(
        other, found=dataclasses.replace(other.found, poses=np.roll(moved, -3, axis=0))
    )
    flow = joined_flow([(one, np.eye(4)), (same, np.eye(4))], 9, START)
    shift = (flow.poses.numpy()[3:6] - one.poses[3:6])[:, 0, 3] / 0.09
    assert np.allclose(shift, [0.25, 0.5, 0.75], atol=0.05)


def test_frames_that_points_hold_count_more(results: list[WindowResult]) -> None:
    one = dataclasses.replace(results[0], held=np.zeros(6, bool))
    other = results[0]
    moved = other.poses.copy()
    moved[:, 0, 3] += 1.0
    held = dataclasses.replace(other, found=dataclasses.replace(other.found, poses=moved))
    flow = joined_flow([(one, np.eye(4)), (held, np.eye(4))], 6, START)
    assert np.allclose(flow.poses.numpy(), moved, atol=1e-2)


def test_the_surest_lens_counts_most(results: list[WindowResult]) -> None:
    def with_lens(focal: float, sigma: float) -> WindowResult:
        found = dataclasses.replace(results[0].found, lens=lens(focal))
        return dataclasses.replace(results[0], found=found, focal_log_sigma=sigma)

    found = common_lens([with_lens(300.0, 0.001), with_lens(330.0, 0.1)])
    assert found.focal == pytest.approx(300.0, abs=0.1)
    found = common_lens([with_lens(300.0, 0.01), with_lens(330.0, 0.01)])
    assert found.focal == pytest.approx(np.sqrt(300.0 * 330.0))
    known = common_lens([with_lens(300.0, 0.0), with_lens(300.0, 0.0)])
    assert known.focal == 300.0
