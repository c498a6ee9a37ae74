# SPDX-License-Identifier: Apache-2.0
"""The classic trackers must track, or beating them would mean nothing."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.peers.registry import SYSTEMS
from benchmarks.peers.score import score
from benchmarks.peers.system import Answer
from benchmarks.peers.worker import run
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.sequences import open_sequence

WALK = 'synthetic:walk?width=320&height=240&frames=20&fps=10'


def figures_of(name: str, mode: str) -> dict[str, Any]:
    sequence = open_sequence(WALK)
    truth = sequence.ground_truth()
    assert truth is not None
    return score(run(SYSTEMS[name].make(mode, []), sequence, mode), truth, mode)


@pytest.mark.parametrize(
    ('name', 'mode', 'most_percent'), [('klt_pnp', 'depth', 0.5), ('klt_five_point', 'mono', 5.0)]
)
def test_a_tracker_follows_a_rendered_walk(name: str, mode: str, most_percent: float) -> None:
    figures = figures_of(name, mode)
    assert figures['coverage'] == 1.0
    assert figures['ate_percent'] < most_percent
    assert figures['rpe_deg'] < 1.0
    assert figures['cpu_ms'] > 0.0 and figures['peak_mb'] > 10.0


@pytest.mark.parametrize('name', ['klt_pnp', 'klt_five_point'])
def test_a_tracker_without_texture_is_not_believed(name: str) -> None:
    camera = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5)
    depth = DepthImage(np.ones((48, 64), np.float32), camera)
    frame = Frame(0, np.full((48, 64), 128, np.uint8), camera, depth)
    system = SYSTEMS[name].make('depth', [])
    system.process(frame)
    answer = system.process(frame)
    assert not answer.believed
    assert np.isfinite(answer.world_from_camera).all()


def test_a_frame_without_depth_is_left_out() -> None:
    frames = list(itertools.islice(open_sequence(WALK), 6))
    frames[3] = dataclasses.replace(frames[3], depth=None)
    result = run(SYSTEMS['klt_pnp'].make('depth', []), frames, 'depth')
    assert result['believed'] == [True, True, True, False, True, True]
    assert result['states'][3] == 'rejected'
    assert np.array_equal(result['poses'][3], result['poses'][2])


def test_the_epoch_of_each_pose_is_recorded_and_a_rejected_frame_stays_in_it() -> None:
    class Restless:
        """Begins anew with every other frame and refuses the last."""

        def __init__(self) -> None:
            self._count = 0

        def process(self, frame: Frame) -> Answer:
            self._count += 1
            if self._count == 5:
                raise FrameRejected('test', 'the last')
            return Answer(np.eye(4), believed=True, epoch=(self._count - 1) // 2)

        def versions(self) -> dict[str, str]:
            return {}

    frames = itertools.islice(open_sequence(WALK), 5)
    assert run(Restless(), frames, 'depth')['epochs'] == [0, 0, 1, 1, 1]


@pytest.mark.skipif(hasattr(cv2, 'Odometry'), reason='this OpenCV has Odometry')
def test_a_system_whose_library_is_missing_raises_import_errors() -> None:
    with pytest.raises(ImportError, match='no Odometry'):
        SYSTEMS['opencv_rgbd'].make('depth', [])
