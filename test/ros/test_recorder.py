# SPDX-License-Identifier: Apache-2.0
"""The poses so far are kept exactly, the path is kept bounded."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from flowcam_ros.geometry import se3
from flowcam_ros.ros.conversions import BodyMotion, pose_stamped_msg
from flowcam_ros.ros.recorder import PathRecorder, TrajectoryRecorder


def motion(index: int) -> BodyMotion:
    turn = se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.001 * index]))
    pose = se3.from_rotation_translation(turn[:3, :3], np.array([index, 0.0, 0.0]))
    return BodyMotion(index * 10**8 + 1, pose, np.eye(6), np.zeros(6), np.eye(6))


def test_trajectory_gives_back_what_was_put_in() -> None:
    recorder = TrajectoryRecorder(20000)
    motions = [motion(index) for index in range(5000)]
    for each in motions:
        recorder.add(each)
    trajectory = recorder.trajectory()
    assert trajectory.stamps_ns.tolist() == [each.stamp_ns for each in motions]
    expected = np.stack([each.odom_from_base for each in motions])
    assert trajectory.world_from_camera == pytest.approx(expected, abs=1e-9)


def test_trajectory_forgets_the_oldest_and_says_how_many() -> None:
    recorder = TrajectoryRecorder(100)
    for index in range(1234):
        recorder.add(motion(index))
    trajectory = recorder.trajectory()
    assert 90 <= len(trajectory) <= 100
    assert trajectory.stamps_ns[-1] == motion(1233).stamp_ns
    assert recorder.forgotten == 1234 - len(trajectory)


def test_a_stamp_that_does_not_increase_is_left_out() -> None:
    recorder = TrajectoryRecorder(100)
    for index in (1, 2, 2, 1, 3):
        recorder.add(motion(index))
    assert recorder.trajectory().stamps_ns.tolist() == [motion(i).stamp_ns for i in (1, 2, 3)]
    recorder.clear()
    assert len(recorder.trajectory()) == 0


@pytest.mark.parametrize('count', [1, 9, 10, 11, 500, 12345])
def test_path_stays_bounded_and_reaches_from_first_to_last(count: int) -> None:
    recorder = PathRecorder(10)
    for index in range(count):
        recorder.add(pose_stamped_msg(motion(index), 'odom'))
    poses = recorder.poses()
    xs = [pose.pose.position.x for pose in poses]
    assert len(poses) <= 11
    assert (xs[0], xs[-1]) == (0, count - 1)
    assert poses[-1] == pose_stamped_msg(motion(count - 1), 'odom')
