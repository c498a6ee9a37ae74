# SPDX-License-Identifier: Apache-2.0
"""A rectified pair gives metric odometry; the right camera is found by itself, or asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from flowcam_ros.geometry import se3
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import BODY_FROM_OPTICAL, stamp_msg, stamp_ns
from flowcam_ros.sequences.synthetic import SyntheticOptions, SyntheticSequence

COUNT = 10
TOPICS = {
    'image': Image,
    'camera_info': CameraInfo,
    'right/image': Image,
    'right/camera_info': CameraInfo,
}


def test_stereo_is_found_and_tracked_in_metres(run_node: Callable[..., Any]) -> None:
    options = SyntheticOptions(width=320, height=240, frames=COUNT, depth=False, stereo=True)
    sequence = SyntheticSequence(options)
    frames = list(sequence)
    truth = sequence.ground_truth().world_from_camera
    with run_node(base_frame='') as (process, probe):
        publishers = {name: probe.publisher(kind, name) for name, kind in TOPICS.items()}
        probe.until(lambda: all(p.get_subscription_count() for p in publishers.values()), 'node')

        def track(index: int) -> OdometryStatus | None:
            """Send a pair; return the answer, None if the node was not yet ready for it."""
            stamp = probe.tick()
            header = Header(stamp=stamp_msg(stamp), frame_id='camera')
            left, right = picture_msgs(frames[index], header)
            for name, info in zip(
                ('camera_info', 'right/camera_info'), infos(frames[index], header), strict=True
            ):
                publishers[name].publish(info)
            publishers['image'].publish(left)
            publishers['right/image'].publish(right)
            probe.spin(0.1)
            answers = [s for s in probe.status if stamp_ns(s.header.stamp) == stamp]
            return answers[0] if answers else None

        probe.until(lambda: track(0) is not None, 'the first answer', timeout=60.0)
        for index in range(1, COUNT):
            probe.until(lambda i=index: track(i), 'an answer')
        assert probe.status[-1].scale_source == 'stereo'
        position = probe.odom[-1].pose.pose.position
        expected = BODY_FROM_OPTICAL @ se3.inverse(truth[0]) @ truth[COUNT - 1]
        found = [position.x, position.y, position.z]
        length = np.linalg.norm(expected[:3, 3])
        assert found == pytest.approx(expected[:3, 3], abs=0.1 * length + 0.005)
        assert 'Traceback' not in process.log


def picture_msgs(frame: Any, header: Header) -> tuple[Image, Image]:
    messages = []
    for image in (frame.image, frame.right.image):
        height, width = image.shape[:2]
        message = Image(header=header, height=height, width=width, encoding='bgr8', step=3 * width)
        message.data.frombytes(image.tobytes())
        messages.append(message)
    return messages[0], messages[1]


def infos(frame: Any, header: Header) -> tuple[CameraInfo, CameraInfo]:
    messages = []
    for baseline in (0.0, frame.right.baseline):
        camera = frame.camera
        message = CameraInfo(header=header, width=camera.width, height=camera.height)
        message.distortion_model = 'plumb_bob'
        message.k = camera.matrix.ravel()
        matrix = np.hstack([camera.matrix, np.zeros((3, 1))])
        matrix[0, 3] = -camera.fx * baseline
        message.p = matrix.ravel()
        messages.append(message)
    return messages[0], messages[1]
