# SPDX-License-Identifier: Apache-2.0
"""A run answers every frame, also those the estimator refuses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowcam_ros.cli.run_report import percentiles, run_report
from flowcam_ros.cli.tracking_run import TrackingRecord, track
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences import open_sequence


def tiny(frame: Frame) -> Frame:
    """Return the frame with a picture too small for optical flow."""
    image = np.ascontiguousarray(frame.image[:8, :8])
    return dataclasses.replace(frame, image=image, camera=frame.camera.resized(8, 8), depth=None)


def test_refused_frames_repeat_the_last_pose_and_are_counted(recording: Path) -> None:
    frames = list(open_sequence(recording))

    def damaged() -> Iterator[Frame]:
        yield tiny(frames[0])
        yield from frames[1:3]
        yield frames[2]
        yield tiny(frames[3])
        yield from frames[4:]

    steps: list[PoseEstimate | FrameRejected] = []
    record = track(damaged(), VisualOdometry(), lambda _, outcome: steps.append(outcome))
    trajectory = record.trajectory()
    assert trajectory.stamps_ns.tolist() == [frame.stamp_ns for frame in frames]
    assert np.array_equal(trajectory.world_from_camera[0], np.eye(4))
    assert np.array_equal(trajectory.world_from_camera[3], trajectory.world_from_camera[2])
    assert sum(record.rejected.values()) == record.states['rejected'] == 3
    assert record.rejected['stamp'] == 1
    assert record.examples.keys() == record.rejected.keys()
    assert len(steps) == len(frames) + 1
    assert sum(isinstance(outcome, FrameRejected) for outcome in steps) == 3
    assert len(record.frame_ms) == len(frames) - 2
    report = run_report(record, OdometryConfig(), {}, ['2 pictures could not be read'])
    assert report['frames'] == len(frames)
    losses = report['losses']
    assert isinstance(losses, list) and losses[0] == '2 pictures could not be read'
    assert any(loss.startswith('1 frame rejected (stamp): stamp ') for loss in losses)


def test_an_empty_run_has_no_figures() -> None:
    record = track([], VisualOdometry())
    report = run_report(record, OdometryConfig(), {}, [])
    assert len(record.trajectory()) == 0
    assert report['fps'] is None
    assert report['scale_source'] == 'none'
    assert report['frame_ms'] == {'p50': None, 'p95': None, 'max': None}


def test_percentiles_of_known_values() -> None:
    found = percentiles([float(value) for value in range(101)])
    assert found == {'p50': 50.0, 'p95': 95.0, 'max': 100.0}


def test_the_commonest_scale_source_counts() -> None:
    record = TrackingRecord()
    record.scale_sources.update({'none': 2, 'depth': 5})
    assert record.scale_source == 'depth'
    assert not math.isnan(record.wall_seconds)


@pytest.mark.parametrize('source', ['auto', 'sensor', 'none'])
def test_depth_sources_are_passed_on(recording: Path, source: str) -> None:
    from flowcam_ros.cli.settings import resolve_config

    assert resolve_config(None, (), source).depth.source == source
