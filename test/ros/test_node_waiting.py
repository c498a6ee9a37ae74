# SPDX-License-Identifier: Apache-2.0
"""What is missing is waited for and named; nothing is guessed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import Image

from flowcam_ros.geometry import se3
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import BODY_FROM_OPTICAL

MOUNT = se3.exp(np.array([0.2, 0.05, 0.4, 0.0, 0.1745, 0.0])) @ BODY_FROM_OPTICAL


@pytest.fixture(scope='module')
def running(run_node: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """A node whose base_frame is misspelt, left to a lifecycle manager; the tests follow on."""
    with run_node(
        depth__source='sensor', base_frame='base_lnk', autostart=False, wait_for_transform=0.05
    ) as (process, probe):
        yield process, probe


@pytest.fixture
def probe(running: tuple[Any, Any]) -> Any:
    return running[1]


def change(probe: Any, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(probe.call(ChangeState, 'change_state', request).success)


def state(probe: Any) -> int:
    return int(probe.call(GetState, 'get_state').current_state.id)


def test_without_autostart_a_manager_takes_it_up(probe: Any) -> None:
    assert state(probe) == State.PRIMARY_STATE_UNCONFIGURED
    assert change(probe, Transition.TRANSITION_CONFIGURE)
    assert state(probe) == State.PRIMARY_STATE_INACTIVE
    assert probe.status == []
    assert change(probe, Transition.TRANSITION_ACTIVATE)
    assert state(probe) == State.PRIMARY_STATE_ACTIVE
    probe.until(lambda: probe.status, 'a status while waiting')
    assert probe.status[-1].state == OdometryStatus.WAITING_INPUT
    assert 'no image on /image' in probe.status[-1].message


def test_missing_camera_info_is_named_after_five_seconds(probe: Any, recording: Any) -> None:
    publisher = probe.publisher(Image, 'image')
    probe.publisher(Image, 'depth/image')
    probe.until(publisher.get_subscription_count, 'the subscription')
    begin = time.monotonic()

    def errors() -> list[Any]:
        words = 'no camera_info on /camera_info'
        return [d for d in probe.diagnostics if d.level == b'\x02' and words in d.message]

    def told() -> list[Any]:
        probe.send(
            recording.images[0],
            recording.depths[0],
            recording.camera,
            probe.tick(),
            with_info=False,
        )
        probe.spin(0.2)
        return errors()

    probe.until(told, 'an error about camera_info')
    assert time.monotonic() - begin > 4.0
    assert probe.odom == [] and probe.transforms == []


def test_a_misspelt_frame_gives_no_output_and_names_the_known_ones(
    probe: Any, recording: Any
) -> None:
    probe.hang_up_camera('base_link', MOUNT)

    def waiting() -> list[Any]:
        probe.send(recording.images[0], recording.depths[0], recording.camera, probe.tick())
        probe.spin(0.1)
        return [
            d for d in probe.diagnostics if 'base_lnk' in d.message and 'base_link' in d.message
        ]

    probe.until(waiting, 'an error about the transform')
    (found, *_) = waiting()
    assert found.level == b'\x02'
    assert "'camera_optical_frame' to 'base_lnk'" in found.message
    assert 'frames known:' in found.message
    probe.until(lambda: probe.status[-1].state == OdometryStatus.WAITING_TF, 'WAITING_TF')
    assert probe.odom == []
    assert probe.transforms == []


def test_once_the_transform_is_there_it_tracks(probe: Any, recording: Any) -> None:
    probe.hang_up_camera('base_lnk', MOUNT)

    def tracking() -> bool:
        probe.send(recording.images[0], recording.depths[0], recording.camera, probe.tick())
        probe.spin(0.1)
        return bool(probe.odom)

    probe.until(tracking, 'odom')
    poses = probe.follow(recording, 5)
    assert poses[-1] == pytest.approx(recording.path(MOUNT, 5)[-1], abs=0.01)


def test_deactivated_it_is_silent_and_activated_it_goes_on(probe: Any, recording: Any) -> None:
    assert change(probe, Transition.TRANSITION_DEACTIVATE)
    begin, answers = len(probe.odom), len(probe.status)
    probe.send(recording.images[5], recording.depths[5], recording.camera, probe.tick())
    probe.spin(1.5)
    assert (len(probe.odom), len(probe.status)) == (begin, answers)
    assert change(probe, Transition.TRANSITION_ACTIVATE)
    image = probe.publisher(Image, 'image')
    depth = probe.publisher(Image, 'depth/image')
    probe.until(
        lambda: image.get_subscription_count() and depth.get_subscription_count(),
        'the subscriptions',
    )

    def answered() -> bool:
        probe.send(recording.images[5], recording.depths[5], recording.camera, probe.tick())
        probe.spin(0.1)
        return len(probe.odom) > begin

    probe.until(answered, 'odom')


def test_cleaned_up_and_configured_again_it_works(probe: Any, recording: Any) -> None:
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert change(probe, transition)
    begin = len(probe.odom)

    def answered() -> bool:
        probe.send(recording.images[0], recording.depths[0], recording.camera, probe.tick())
        probe.spin(0.1)
        return len(probe.odom) > begin

    probe.until(answered, 'odom')


def test_shutdown_ends_the_process(running: tuple[Any, Any], probe: Any) -> None:
    process, _ = running
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN))
    client = probe.node.create_client(ChangeState, 'odometry/change_state')
    probe.until(client.service_is_ready, 'the service')
    client.call_async(request)
    probe.until(lambda: process.process.poll() is not None, 'the end of the process')
    assert process.process.returncode == 0
    assert 'Traceback' not in process.log


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['-p', 'bse_frame:=x'], 'unknown option bse_frame; did you mean base_frame?'),
        (['-p', 'tracking.max_gap:=-1.0'], 'tracking.max_gap: -1.0 is outside'),
        (['--params-file', 'none.yaml'], 'none.yaml: cannot be read'),
        (['--no-such-flag'], "unknown ROS arguments ['--no-such-flag']"),
        (['-p', 'use_sim_time:=maybe'], 'use_sim_time'),
        (['--', 'extra'], 'unknown arguments extra; what is for ROS comes behind --ros-args'),
    ],
)
def test_bad_arguments_end_with_one_line_and_code_two(
    ros_environment: dict[str, str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'flowcam_ros.ros.odometry_node', '--ros-args', *arguments],
        env=ros_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if '[rcl]' not in line]
    assert len(lines) == 1 and words in lines[0], result.stderr
