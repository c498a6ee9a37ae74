# SPDX-License-Identifier: Apache-2.0
"""What nothing ties to the reconstruction goes along the online path."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.flowmap.placing import PlacedFrame, Placement
from flowcam_ros.flowmap.refine_config import IntrinsicsConfig, RefineConfig
from flowcam_ros.flowmap.tied_path import placed_by_online_path, tied_to
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences.synthetic import SyntheticSequence, parse_synthetic

COUNT = 12
STAMPS = np.arange(COUNT, dtype=np.int64) * 100_000_000


def curve() -> np.ndarray:
    """Return a path that turns, so that nothing straight comes near it."""
    step = se3.exp(np.array([0.2, 0.05, 0.1, 0.05, 0.3, 0.0]))
    poses = [np.eye(4)]
    for _ in range(COUNT - 1):
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def online(unit: float = 1.0, known: slice = slice(None), drift: float = 0.0) -> OnlinePath:
    """Return the path in a world and unit of its own; each step may turn by some radians more."""
    steps = np.linalg.inv(curve()[:-1]) @ curve()[1:]
    poses = [se3.exp(np.array([3.0, -1.0, 2.0, 1.0, -0.5, 0.3]))]
    for step in steps:
        poses.append(poses[-1] @ step @ se3.exp(np.array([0.0, 0.0, 0.0, 0.0, drift, 0.0])))
    way = np.stack(poses)
    way[:, :3, 3] *= unit
    return OnlinePath(STAMPS[known], way[known])


def frames(placed: list[int]) -> list[PlacedFrame]:
    """Return some frames where they truly are, and all others at the origin."""
    return [
        PlacedFrame(
            int(stamp),
            Placement.OPTIMISED if k in placed else Placement.INTERPOLATED,
            pose if k in placed else np.eye(4),
            np.zeros((6, 6)),
        )
        for k, (stamp, pose) in enumerate(zip(STAMPS, curve(), strict=True))
    ]


def errors(found: list[PlacedFrame]) -> np.ndarray:
    """Return how far each frame is from where it truly is."""
    return np.array(
        [
            np.linalg.norm(frame.world_from_camera[:3, 3] - true[:3, 3])
            for frame, true in zip(found, curve(), strict=True)
        ]
    )


@pytest.mark.parametrize('unit', [1.0, 0.3])
@pytest.mark.parametrize('placed', [[0, 1, 2], [4, 7], [0, 11], [10, 11]])
def test_an_exact_path_gives_exact_poses_in_any_world_and_unit(
    placed: list[int], unit: float
) -> None:
    found = tied_to(online(unit), frames(placed))
    assert np.allclose([frame.world_from_camera for frame in found], curve(), atol=1e-9)
    kinds = {k for k, frame in enumerate(found) if frame.placement is Placement.TRACKED}
    assert kinds == set(range(COUNT)) - set(placed)


def test_drift_is_spread_between_two_anchors_and_told() -> None:
    one_sided = tied_to(online(drift=0.02), frames([0, 1]))
    closed = tied_to(online(drift=0.02), frames([0, 1, 10, 11]))
    assert errors(closed)[2:10].max() < 0.4 * errors(one_sided)[9]
    sigma = [np.sqrt(np.trace(frame.covariance[:3, :3])) for frame in closed]
    assert sigma[1] == 0.0
    assert sigma[5] > sigma[2] > 0.0
    assert all(errors(closed)[k] < 3.0 * sigma[k] for k in range(2, 10))


def test_beyond_what_the_online_path_knows_the_camera_stays() -> None:
    before = frames([0, 1])
    found = tied_to(online(known=slice(0, 6)), before)
    assert [frame.placement for frame in found[6:]] == [Placement.INTERPOLATED] * 6
    # they stay with the last that is known
    for frame in found[6:]:
        assert np.allclose(frame.world_from_camera, found[5].world_from_camera)
    assert found[5].placement is Placement.TRACKED


def test_what_the_online_path_does_not_know_lies_between_what_it_does() -> None:
    path = online()
    known = np.arange(COUNT) != 6
    gap = OnlinePath(path.stamps_ns[known], path.world_from_camera[known])
    found = tied_to(gap, frames([0, 11]))
    assert found[6].placement is Placement.INTERPOLATED
    assert errors(found)[6] < 0.1
    assert errors(found)[[5, 7]].max() < 1e-9


def test_a_way_out_and_back_is_no_surer_than_it_is_long() -> None:
    way = np.tile(np.eye(4), (COUNT, 1, 1))
    way[:, 0, 3] = np.abs(np.arange(COUNT) - 6) - 6.0
    before = [
        dataclasses.replace(frame, world_from_camera=pose)
        for frame, pose in zip(frames([0, 1]), way, strict=True)
    ]
    found = tied_to(OnlinePath(STAMPS, way), before)
    sigma = [frame.covariance[0, 0] ** 0.5 for frame in found]
    assert all(before < after for before, after in pairwise(sigma[1:]))
    assert 0.1 < sigma[11] < 1.0


@pytest.mark.parametrize('placed', [[], [3]])
def test_without_two_anchors_there_is_no_scale_and_nothing_changes(placed: list[int]) -> None:
    before = frames(placed)
    assert tied_to(online(), before) == before


def test_a_path_that_stands_still_tells_no_scale() -> None:
    still = dataclasses.replace(online(), world_from_camera=np.tile(np.eye(4), (COUNT, 1, 1)))
    before = frames([0, 1])
    assert tied_to(still, before) == before


def test_one_frame_that_is_far_off_does_not_set_the_scale() -> None:
    before = frames([0, 1, 2, 3, 4, 5, 6, 7, 8])
    off = before[8].world_from_camera.copy()
    off[:3, 3] += 3.0
    before[8] = dataclasses.replace(before[8], world_from_camera=off)
    found = tied_to(online(), before)
    step = found[10].world_from_camera[:3, 3] - found[9].world_from_camera[:3, 3]
    true = curve()[10, :3, 3] - curve()[9, :3, 3]
    assert np.allclose(step, true, atol=1e-9)


def recording(*loose: int) -> tuple[SyntheticSequence, list[PlacedFrame]]:
    """Return a rendered walk and its true poses, but for some frames that lie at the origin."""
    sequence = parse_synthetic('synthetic:walk?frames=8&width=320&height=240')
    truth = sequence.ground_truth()
    placed = [
        PlacedFrame(
            int(stamp),
            Placement.INTERPOLATED if k in loose else Placement.OPTIMISED,
            np.eye(4) if k in loose else pose,
            np.zeros((6, 6)),
        )
        for k, (stamp, pose) in enumerate(
            zip(truth.stamps_ns, truth.world_from_camera, strict=True)
        )
    ]
    return sequence, placed


@pytest.mark.parametrize('mode', ['known', 'refine', 'unknown'])
def test_the_path_is_found_where_it_is_needed_with_the_camera_that_is_known(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[float] = set()
    process = VisualOdometry.process

    def seen(odometry: VisualOdometry, frame: Frame) -> Any:
        used.add(frame.camera.fx)
        return process(odometry, frame)

    monkeypatch.setattr(VisualOdometry, 'process', seen)
    sequence, placed = recording(3, 4, 7)
    given, found_camera = (
        dataclasses.replace(sequence.camera, fx=factor * sequence.camera.fx)
        for factor in (1.01, 1.02)
    )
    frames = [dataclasses.replace(f, camera=given) for f in sequence]
    notes: list[str] = []
    config = RefineConfig(intrinsics=IntrinsicsConfig(mode=mode))
    found = placed_by_online_path(placed, frames, found_camera, config, None, notes.append)
    assert notes == ['online path, for 3 frames that correspond to no others']
    assert used == {(found_camera if mode == 'unknown' else given).fx}
    truth = sequence.ground_truth().world_from_camera
    for k in (3, 4, 7):
        assert found[k].placement is Placement.TRACKED
        off = found[k].world_from_camera[:3, 3] - truth[k, :3, 3]
        assert np.linalg.norm(off) < 0.005


@pytest.mark.parametrize('loose', [(), (3,), (0, 2, 7), (0, 1, 2, 3, 4, 5, 7)])
def test_it_is_not_found_where_it_helps_nobody(loose: tuple[int, ...]) -> None:
    sequence, placed = recording(*loose)
    notes: list[str] = []
    found = placed_by_online_path(
        placed, sequence, sequence.camera, RefineConfig(), None, notes.append
    )
    assert found == placed
    assert notes == []
