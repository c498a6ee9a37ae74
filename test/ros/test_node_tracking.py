# SPDX-License-Identifier: Apache-2.0
"""A camera on a robot goes in over DDS, and true odometry comes out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from node_process import MOUNT

pytest.importorskip('rclpy', reason='needs ROS 2')

from nav_msgs.msg import Path as PathMsg
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger

from flowcam_ros.geometry import se3
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import stamp_ns, transform_from_msg
from flowcam_ros.srv import SaveTrajectory

CAMERA = 'camera_optical_frame'


def test_odom_is_the_true_path_of_the_base(probe: Any, recording: Any) -> None:
    count = 15
    poses = probe.follow(recording, count)
    truth = recording.path(MOUNT, count)
    assert len(poses) == count
    assert poses[0] == pytest.approx(np.eye(4), abs=1e-9)
    length = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    errors = np.linalg.norm(poses[:, :3, 3] - truth[:, :3, 3], axis=1)
    assert errors.max() < 0.01 * length + 0.003
    turns = [se3.rotation_angle(se3.inverse(a) @ b) for a, b in zip(poses, truth, strict=True)]
    assert max(turns) < np.radians(0.5)
    message = probe.odom[-1]
    assert (message.header.frame_id, message.child_frame_id) == ('odom', 'base_link')


def test_covariances_and_twist_are_those_of_the_moving_base(probe: Any, recording: Any) -> None:
    begin = len(probe.odom)
    probe.follow(recording, 10)
    messages = probe.odom[begin:]
    truth = recording.path(MOUNT, 10)
    sizes = []
    for message in messages:
        for covariance in (message.pose.covariance, message.twist.covariance):
            matrix = np.array(covariance).reshape(6, 6)
            assert np.isfinite(matrix).all() and np.allclose(matrix, matrix.T)
            assert np.linalg.eigvalsh(matrix).min() > 0
        sizes.append(np.trace(np.array(message.pose.covariance).reshape(6, 6)))
    assert sizes[-1] > sizes[0]
    step = se3.inverse(truth[8]) @ truth[9]
    twist = messages[9].twist.twist
    linear = np.array([twist.linear.x, twist.linear.y, twist.linear.z])
    angular = np.array([twist.angular.x, twist.angular.y, twist.angular.z])
    assert linear == pytest.approx(step[:3, 3] * 30.0, abs=0.1)
    assert angular == pytest.approx(se3.log(step)[3:] * 30.0, abs=0.1)


def test_tf_is_one_edge_and_equals_odom(probe: Any, recording: Any) -> None:
    begin = len(probe.odom)
    probe.follow(recording, 5)
    odom = {stamp_ns(m.header.stamp): m for m in probe.odom[begin:]}

    def heard() -> dict[int, Any]:
        return {stamp_ns(t.header.stamp): t for t in probe.transforms}

    probe.until(lambda: set(odom) <= set(heard()), 'tf')
    frames = {(t.header.frame_id, t.child_frame_id) for t in probe.transforms}
    assert frames == {('odom', 'base_link')}
    assert len(heard()) == len(probe.transforms)
    for stamp, message in odom.items():
        position = message.pose.pose.position
        found = transform_from_msg(heard()[stamp])
        assert found[:3, 3] == pytest.approx([position.x, position.y, position.z])


def test_status_says_what_was_done(probe: Any, recording: Any) -> None:
    probe.follow(recording, 3)
    before = probe.status[-1]
    status = probe.track(recording, 3)
    assert (status.state, status.reason) == (OdometryStatus.TRACKING, '')
    assert status.scale_source == 'depth'
    assert status.frames_processed == before.frames_processed + 1
    assert status.points > 50 and 0.5 < status.inlier_ratio <= 1.0
    assert status.processing_ms > 0.0
    assert status.header.frame_id == 'odom'


def test_path_is_latched_for_a_late_listener(probe: Any, recording: Any) -> None:
    poses = probe.follow(recording, 6)
    paths: list[PathMsg] = []
    qos = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    listener = probe.listen(PathMsg, 'path', paths.append, qos)
    probe.until(lambda: paths and len(paths[-1].poses) == 6, 'the path')
    probe.node.destroy_subscription(listener)
    assert paths[-1].header.frame_id == 'odom'
    last = paths[-1].poses[-1].pose.position
    assert [last.x, last.y, last.z] == pytest.approx(poses[-1][:3, 3])


def test_depth_is_sent_to_listeners_only_and_laid_out_as_promised(
    probe: Any, recording: Any
) -> None:
    probe.follow(recording, 2)
    clouds: list[PointCloud2] = []
    images: list[Image] = []
    variances: list[Image] = []
    listeners = [
        probe.listen(PointCloud2, 'depth/points', clouds.append, qos_profile_sensor_data),
        probe.listen(Image, 'depth/image_rect', images.append, qos_profile_sensor_data),
        probe.listen(Image, 'depth/variance', variances.append, qos_profile_sensor_data),
    ]
    sent: dict[int, int] = {}
    for index in range(2, 20):
        sent[stamp_ns(probe.track(recording, index).header.stamp)] = index
        if clouds and images and variances:
            break
    for listener in listeners:
        probe.node.destroy_subscription(listener)
    variance = variances[-1]
    (image,) = [i for i in images if i.header == variance.header]
    (cloud,) = [c for c in clouds if c.header.stamp == image.header.stamp]
    assert (cloud.width, cloud.height, cloud.is_dense) == (160, 120, False)
    assert [f.name for f in cloud.fields] == ['x', 'y', 'z', 'rgb']
    assert cloud.header.frame_id == image.header.frame_id == CAMERA
    points = np.frombuffer(bytes(cloud.data), np.float32).reshape(120, 160, 4)
    depth = np.frombuffer(bytes(image.data), np.float32).reshape(240, 320)
    assert image.encoding == '32FC1'
    assert np.nanmax(np.abs(depth[::2, ::2] - points[..., 2])) < 1e-3
    true_depth = recording.depths[sent[stamp_ns(image.header.stamp)]]
    known = np.isfinite(depth)
    assert known.mean() > 0.8
    assert np.median(np.abs(depth - true_depth)[known]) < 0.01
    assert (variance.encoding, variance.height, variance.width) == ('32FC1', 240, 320)
    spread = np.sqrt(np.frombuffer(bytes(variance.data), np.float32).reshape(240, 320))
    assert (np.isfinite(spread) == known).all()
    # the default of depth.noise is 2.5 mm at 1 m, and grows with the square of the depth
    assert 0.001 < np.median((spread / depth**2)[known]) < 0.01
    assert np.mean((np.abs(depth - true_depth) < 2.0 * spread)[known]) > 0.9


def test_what_the_estimator_saw_is_drawn_for_those_who_listen(probe: Any, recording: Any) -> None:
    probe.follow(recording, 2)
    pictures: list[Image] = []
    listener = probe.listen(
        Image, 'odometry/debug/image', pictures.append, qos_profile_sensor_data
    )
    for index in range(2, 20):
        stamp = probe.track(recording, index).header.stamp
        if pictures:
            break
    else:
        probe.until(lambda: pictures, 'a picture')
    probe.node.destroy_subscription(listener)
    picture = pictures[0]
    assert picture.encoding == 'bgr8' and picture.header.frame_id == CAMERA
    assert stamp_ns(picture.header.stamp) <= stamp_ns(stamp)
    pixels = np.frombuffer(bytes(picture.data), np.uint8)
    assert pixels.size == picture.height * picture.step == picture.height * picture.width * 3
    assert picture.width > 1000 and pixels.std() > 20


def test_pause_and_resume(probe: Any, recording: Any) -> None:
    probe.follow(recording, 3)
    assert probe.call(Trigger, 'pause').success
    begin = len(probe.odom)
    for index in range(3, 6):
        probe.send(
            recording.images[index], recording.depths[index], recording.camera, probe.tick()
        )
        probe.spin(0.1)
    probe.until(lambda: probe.status[-1].state == OdometryStatus.PAUSED, 'PAUSED')
    assert len(probe.odom) == begin
    assert probe.call(Trigger, 'resume').success
    assert probe.track(recording, 6).state == OdometryStatus.TRACKING
    assert len(probe.odom) == begin + 1


def test_reset_begins_at_the_origin(probe: Any, recording: Any) -> None:
    probe.follow(recording, 8)
    epoch = probe.status[-1].epoch
    assert probe.call(Trigger, 'reset').success
    begin = len(probe.odom)
    status = probe.track(recording, 8)
    probe.until(lambda: len(probe.odom) > begin, 'odom')
    assert status.epoch == epoch + 1
    position = probe.odom[begin].pose.pose.position
    assert [position.x, position.y, position.z] == pytest.approx([0, 0, 0], abs=1e-9)


def test_trajectory_is_saved_whole_and_never_over_another(
    probe: Any, recording: Any, tmp_path: Path
) -> None:
    poses = probe.follow(recording, 6)
    path = tmp_path / 'run.tum'
    saved = probe.call(SaveTrajectory, 'save_trajectory', SaveTrajectory.Request(path=str(path)))
    assert saved.success and '6 poses' in saved.message
    rows = np.loadtxt(path)
    assert rows.shape == (6, 8)
    assert rows[:, 1:4] == pytest.approx(poses[:, :3, 3], abs=1e-8)
    assert rows[-1, 0] == pytest.approx(probe.now * 1e-9, abs=1e-6)
    again = probe.call(SaveTrajectory, 'save_trajectory', SaveTrajectory.Request(path=str(path)))
    assert not again.success and 'exists already' in again.message
    nowhere = SaveTrajectory.Request(path=str(tmp_path / 'no' / 'such.tum'))
    refused = probe.call(SaveTrajectory, 'save_trajectory', nowhere)
    assert not refused.success and 'does not exist' in refused.message
    homeless = SaveTrajectory.Request(path='~nobody_of_this_name/run.tum')
    assert not probe.call(SaveTrajectory, 'save_trajectory', homeless).success
    named = probe.call(SaveTrajectory, 'save_trajectory')
    assert named.success and '.tum' in named.message
    assert [p.name for p in tmp_path.iterdir()] == ['run.tum']


def test_a_subscriber_that_cannot_be_reached_is_told(running: tuple[Any, Any]) -> None:
    process, probe = running
    latched = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    listener = probe.listen(PathMsg, 'path', lambda _: None, latched)
    misfit = probe.listen(Image, 'depth/image_rect', lambda _: None, latched)
    expected = (
        '/depth/image_rect: a subscriber asks for reliable, transient_local, but this node offers '
        'reliable, volatile, so nothing reaches it'
    )
    probe.until(lambda: expected in process.log, 'the warning')
    assert '/path:' not in process.log
    for subscription in (listener, misfit):
        probe.node.destroy_subscription(subscription)


def test_parameters_over_dds(probe: Any) -> None:
    described = probe.call(
        DescribeParameters, 'describe_parameters', DescribeParameters.Request(names=['base_frame'])
    )
    assert 'Body frame' in described.descriptors[0].description
    assert described.descriptors[0].read_only

    def set_value(name: str, **value: Any) -> Any:
        parameter = ParameterMsg(name=name, value=ParameterValue(**value))
        request = SetParameters.Request(parameters=[parameter])
        return probe.call(SetParameters, 'set_parameters', request).results[0]

    double, string = ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_STRING
    assert set_value('keyframe.max_flow', type=double, double_value=0.06).successful
    refused = set_value('base_frame', type=string, string_value='other')
    assert not refused.successful and 'read-only' in refused.reason
    refused = set_value('keyframe.max_flow', type=double, double_value=9.0)
    assert not refused.successful and 'range' in refused.reason


def test_it_has_no_topic_or_service_that_is_not_documented(probe: Any) -> None:
    text = (Path(__file__).resolve().parents[2] / 'docs' / 'interface.md').read_text()
    policy = text[text.index('<policy') : text.index('</policy>')]

    def allowed(tag: str, section: str) -> set[str]:
        (body,) = re.findall(f'<{section}>(.*?)</{section.split()[0]}>', policy, re.DOTALL)
        names = re.findall(f'<{tag}>(.*?)</{tag}>', body)
        return {
            name.replace('~', '/odometry') if name.startswith('~') else '/' + name.lstrip('/')
            for name in names
        }

    def has(kind: str) -> set[str]:
        found = getattr(probe.node, f'get_{kind}_names_and_types_by_node')('odometry', '/')
        return {name for name, _ in found}

    assert has('publisher') <= allowed('topic', 'topics publish="ALLOW"')
    assert has('subscriber') <= allowed('topic', 'topics subscribe="ALLOW"')
    assert has('service') == allowed('service', 'services reply="ALLOW"')


def test_two_interrupts_end_it_quickly_and_silently(
    running: tuple[Any, Any], probe: Any, recording: Any
) -> None:
    process, _ = running
    probe.track(recording, 0)
    code, seconds = process.interrupt(times=2)
    assert code == 0
    assert seconds < 5.0  # 2 s on a machine with nothing else to do
    assert 'Traceback' not in process.log
    assert 'KeyboardInterrupt' not in process.log
