# SPDX-License-Identifier: Apache-2.0
"""Other parameters: no base frame, inverted TF, compressed images, a namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

from flowcam_ros.geometry import se3
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import (
    BODY_FROM_OPTICAL,
    UNKNOWN_VARIANCE,
    stamp_msg,
    stamp_ns,
    transform_from_msg,
)

CAMERA = 'camera_optical_frame'


@pytest.fixture(scope='module')
def running(run_node: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    with run_node(
        '--ros-args', '-r', '__ns:=/robot', '--',
        prefix='/robot/',
        base_frame='',
        odom_frame='vo',
        invert_odom_tf=True,
        publish_null_when_lost=True,
        image_transport='compressed',
        depth_transport='compressedDepth',
        qos_camera_info='reliable',
        use_sim_time=True,
    ) as made:  # fmt: skip
        yield made


@pytest.fixture
def probe(running: tuple[Any, Any]) -> Any:
    return running[1]


class CompressedCamera:
    """Publishes JPEG pictures and compressedDepth, as image_transport does."""

    def __init__(self, probe: Any, recording: Any) -> None:
        self.probe, self.recording = probe, recording
        node = probe.node
        self.image = node.create_publisher(
            CompressedImage, '/robot/image/compressed', qos_profile_sensor_data
        )
        self.depth = node.create_publisher(
            CompressedImage, '/robot/depth/image/compressedDepth', qos_profile_sensor_data
        )

    def send(self, index: int, *, blank: bool = False) -> int:
        stamp = self.probe.tick()
        header = Header(stamp=stamp_msg(stamp), frame_id=CAMERA)
        picture = self.recording.images[index]
        if blank:
            picture = np.full_like(picture, 90)
        jpeg = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
        millimetres = np.rint(self.recording.depths[index] * 1000).astype(np.uint16)
        if blank:
            millimetres[:, 40:] = 0  # all of the depth would hold the pose
        png = bytes(12) + cv2.imencode('.png', millimetres)[1].tobytes()
        self.image.publish(
            CompressedImage(header=header, format='bgr8; jpeg compressed bgr8', data=jpeg)
        )
        self.depth.publish(
            CompressedImage(header=header, format='16UC1; compressedDepth png', data=png)
        )
        return stamp

    def track(self, index: int, *, blank: bool = False) -> OdometryStatus:
        stamp = self.send(index, blank=blank)

        def answers() -> list[OdometryStatus]:
            return [s for s in self.probe.status if stamp_ns(s.header.stamp) == stamp]

        self.probe.until(answers, 'an answer')
        return answers()[0]


@pytest.fixture(scope='module')
def camera(running: tuple[Any, Any], recording: Any) -> CompressedCamera:
    return CompressedCamera(running[1], recording)


def test_a_misfit_of_quality_is_told_once_with_both_profiles_and_the_parameter(
    running: tuple[Any, Any], probe: Any, camera: CompressedCamera
) -> None:
    process, _ = running
    publisher = probe.node.create_publisher(
        CameraInfo, '/robot/camera_info', qos_profile_sensor_data
    )
    expected = (
        '/robot/camera_info: a publisher offers best_effort, volatile, but this node asks for '
        'reliable, volatile, so nothing arrives: set qos_camera_info to sensor_data'
    )
    probe.until(lambda: expected in process.log, 'the warning')
    probe.until(
        lambda: any(expected in d.message for d in probe.diagnostics), 'the same in diagnostics'
    )
    probe.spin(2.5)
    assert process.log.count(expected) == 1
    probe.node.destroy_publisher(publisher)


def test_compressed_input_is_tracked_in_a_namespace_from_the_camera_itself(
    probe: Any, recording: Any, camera: CompressedCamera
) -> None:
    info = CameraInfo(width=320, height=240, distortion_model='plumb_bob')
    info.k = recording.camera.matrix.ravel()
    calibration = probe.node.create_publisher(CameraInfo, '/robot/camera_info', 10)
    probe.until(calibration.get_subscription_count, 'the subscription')

    def tracking() -> bool:
        calibration.publish(info)
        camera.send(0)
        probe.spin(0.2)
        return any(s.state == OdometryStatus.TRACKING for s in probe.status)

    probe.until(tracking, 'TRACKING')
    begin = len(probe.odom)
    for index in range(10):
        assert camera.track(index).state == OdometryStatus.TRACKING
    probe.until(lambda: len(probe.odom) - begin >= 10, 'odom')
    message = probe.odom[-1]
    assert (message.header.frame_id, message.child_frame_id) == ('vo', CAMERA)
    # Depth was found by itself: depth.source is auto.
    assert probe.status[-1].scale_source == 'depth'
    optical = np.eye(4)
    p, q = message.pose.pose.position, message.pose.pose.orientation
    pose = se3.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))
    truth = BODY_FROM_OPTICAL @ se3.inverse(recording.world_from_camera[0])
    assert pose == pytest.approx(truth @ recording.world_from_camera[9] @ optical, abs=0.02)


def test_tf_is_inverted(probe: Any) -> None:
    probe.until(lambda: probe.transforms, 'tf')
    transform = probe.transforms[-1]
    assert (transform.header.frame_id, transform.child_frame_id) == (CAMERA, 'vo')
    stamp = stamp_ns(transform.header.stamp)
    (odom,) = [m for m in probe.odom if stamp_ns(m.header.stamp) == stamp]
    position = se3.inverse(transform_from_msg(transform))[:3, 3]
    expected = odom.pose.pose.position
    assert position == pytest.approx([expected.x, expected.y, expected.z], abs=1e-9)


def test_while_lost_odom_is_marked_unknown_and_tf_is_silent(
    probe: Any, camera: CompressedCamera
) -> None:
    sent = len(probe.odom)
    status = camera.track(9, blank=True)
    assert status.state == OdometryStatus.LOST
    assert status.reason and status.message
    probe.until(lambda: len(probe.odom) > sent, 'odom while lost')
    message = probe.odom[-1]
    diagonal = np.diag(np.array(message.pose.covariance).reshape(6, 6))
    assert (diagonal == UNKNOWN_VARIANCE).all()
    assert message.twist.twist.linear.x == 0.0
    probe.spin(0.3)
    stamps = {stamp_ns(t.header.stamp) for t in probe.transforms}
    assert stamp_ns(status.header.stamp) not in stamps
    for _ in range(6):
        status = camera.track(9)
    assert status.state == OdometryStatus.TRACKING
    stamp = stamp_ns(status.header.stamp)
    probe.until(lambda: stamp in {stamp_ns(t.header.stamp) for t in probe.transforms}, 'tf again')


def test_a_clock_that_is_set_back_does_not_stop_it(probe: Any, camera: CompressedCamera) -> None:
    clock = probe.node.create_publisher(Clock, '/clock', 10)
    probe.until(clock.get_subscription_count, 'the node to hear the clock')
    clock.publish(Clock(clock=stamp_msg(probe.now)))
    epoch = camera.track(9).epoch
    probe.now -= 30 * 10**9
    clock.publish(Clock(clock=stamp_msg(probe.now)))
    for index in range(3):
        status = camera.track(index)
        clock.publish(Clock(clock=stamp_msg(probe.now)))
        assert (status.state, status.epoch) == (OdometryStatus.TRACKING, epoch + 1)
    assert abs(status.latency_ms) < 60_000
    answered = len(probe.diagnostics)
    probe.until(lambda: len(probe.diagnostics) > answered + 1, 'reports while the clock stands')


def test_interrupted_it_ends_with_code_zero(running: tuple[Any, Any]) -> None:
    process, _ = running
    code, _ = process.interrupt()
    assert code == 0
    assert 'Traceback' not in process.log
