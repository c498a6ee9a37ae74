# SPDX-License-Identifier: Apache-2.0
"""The demonstration: three processes over DDS, judged, and nothing left when interrupted."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.ros import isolation
from flowcam_ros.ros.child_process import ChildProcess
from flowcam_ros.ros.demo import free_name
from flowcam_ros.ros.demo_result import DemoResult, as_rgb, cloud_depth, picture_at
from flowcam_ros.ros.depth_messages import cloud_msg
from flowcam_ros.ros.isolation import free_domain, isolated_environment
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.tum_file import read_trajectory

FRAMES = 30


def start(output: Path) -> subprocess.Popen[str]:
    words = ['demo', '--frames', str(FRAMES), '--output', str(output)]
    return subprocess.Popen(
        [sys.executable, '-m', 'flowcam_ros.cli.main', *words],
        env=isolated_environment({k: v for k, v in os.environ.items() if k != 'ROS_DOMAIN_ID'}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children_of(pid: int) -> list[int]:
    """Return the processes a process has started."""
    listing = Path(f'/proc/{pid}/task/{pid}/children')
    return [int(word) for word in listing.read_text().split()] if listing.exists() else []


def test_the_demonstration_answers_every_frame_and_shows_it(tmp_path: Path) -> None:
    output = tmp_path / 'demo'
    process = start(output)
    printed, errors = process.communicate(timeout=110)
    assert process.returncode == 0, errors + printed
    assert f'{FRAMES} of {FRAMES} answered by odom' in printed
    summary = json.loads((output / 'summary.json').read_text())
    assert summary['sent'] == summary['answered'] == FRAMES
    assert summary['transforms'] >= FRAMES - 1
    assert summary['error']['ate_percent'] < 1.0
    assert summary['error']['align'] == 'se3'
    assert summary['latency_ms']['p50'] > 0
    assert summary['problems'] == []
    truth = open_sequence(f'synthetic:walk?frames={FRAMES}').ground_truth()
    assert truth is not None
    trajectory = read_trajectory(output / 'trajectory.tum')
    assert trajectory.stamps_ns.tolist() == truth.stamps_ns.tolist()
    picture = cv2.imread(str(output / 'demo.png'))
    assert picture.shape[1] > 1000 and picture.std() > 20
    assert not (output / 'bag').exists()


def test_an_interrupt_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    process = start(tmp_path / 'demo')
    deadline = time.monotonic() + 90
    while not (found := children_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found, 'the node was never started'
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == 'flowcam: interrupted'
    assert 'Traceback' not in errors
    assert not any(Path(f'/proc/{child}').exists() for child in found)
    assert list(tmp_path.iterdir()) == []


def result(answered: int, error_m: float) -> DemoResult:
    poses = np.tile(np.eye(4), (50, 1, 1))
    poses[:, 0, 3] = np.linspace(0.0, 5.0, 50)
    poses[:, 1, 3] = np.sin(poses[:, 0, 3])
    truth = Trajectory(np.arange(50), poses)
    wrong = poses.copy()
    wrong[:, 2, 3] = error_m * np.where(np.arange(50) % 2, 1.0, -1.0)
    judged = evaluate(Trajectory(truth.stamps_ns, wrong), truth, max_difference_ns=0)
    latency = {'p50': 20.0, 'p95': 30.0, 'max': 40.0}
    return DemoResult(truth, judged, 50, answered, answered, latency)


def test_missing_frames_and_large_errors_are_problems_with_advice() -> None:
    assert result(50, 0.01).problems() == []
    (missing,) = result(48, 0.01).problems()
    assert missing.startswith('2 of 50 images were not answered') and 'node.log' in missing
    (wrong,) = result(50, 0.2).problems()
    assert '% of the path instead of at most 1 %' in wrong
    unknown = dataclasses.replace(result(50, 0.0).evaluation, ate_percent=float('nan'))
    assert dataclasses.replace(result(50, 0.0), evaluation=unknown).problems()


@pytest.mark.parametrize('decimation', [1, 3])
def test_a_cloud_becomes_the_depth_it_was_made_of(decimation: int) -> None:
    rng = np.random.default_rng(0)
    inverse = rng.uniform(0.1, 1.0, (12, 16)).astype(np.float32)
    inverse[3, 6] = 0.0
    camera = CameraModel(16, 12, 20.0, 20.0, 8.0, 6.0)
    image = np.zeros((12, 16, 3), np.uint8)
    estimate = DepthEstimate(0, camera, inverse, inverse, image)
    depth = cloud_depth(cloud_msg(estimate, 'camera', decimation))
    np.testing.assert_array_equal(depth, estimate.depth()[::decimation, ::decimation])


def test_the_picture_of_a_moment() -> None:
    sequence = open_sequence('synthetic:walk?frames=3&width=64&height=48')
    frames = list(sequence)
    assert np.array_equal(picture_at(sequence, frames[1].stamp_ns), frames[1].image)
    assert np.array_equal(picture_at(sequence, 0), frames[0].image)
    assert np.array_equal(picture_at(sequence, 2**62), frames[2].image)


def test_pictures_become_rgb() -> None:
    assert as_rgb(np.full((2, 2), 7, np.uint8)).tolist()[0][0] == [7, 7, 7]
    assert as_rgb(np.array([[[1, 2, 3]]], np.uint8)).tolist() == [[[3, 2, 1]]]


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    wanted = tmp_path / 'demo'
    assert free_name(wanted) == wanted
    wanted.mkdir()
    (tmp_path / 'demo_2').mkdir()
    assert free_name(wanted) == tmp_path / 'demo_3'


def test_what_the_user_set_stays() -> None:
    kept = isolated_environment({'ROS_DOMAIN_ID': '7', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'})
    assert kept == {'ROS_DOMAIN_ID': '7', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
    chosen = isolated_environment({})
    assert chosen['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert 1 <= int(chosen['ROS_DOMAIN_ID']) <= 101


def test_a_domain_in_use_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as user:
        domain = free_domain()
        user.bind(('', 7400 + 250 * domain + 10))
        monkeypatch.setattr(isolation.random, 'sample', lambda _, count: [domain, 102])
        assert free_domain() == 102


def test_a_stubborn_child_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'stubborn.py').write_text(
        'import signal, sys, time\n'
        'signal.signal(signal.SIGINT, signal.SIG_IGN)\n'
        'print("ready", flush=True)\n'
        'print("one\\ntwo", file=sys.stderr, flush=True)\n'
        'time.sleep(60)\n'
    )
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.setattr('flowcam_ros.ros.child_process.STOP_TIMEOUT_S', 0.2)
    with ChildProcess('child', 'stubborn', [], tmp_path) as child:
        deadline = time.monotonic() + 20
        while 'two' not in child.last_words() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not child.ended
        assert child.output() == 'ready\n'
        assert child.last_words() == 'one / two'
    assert child.ended
    assert child.process.returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
