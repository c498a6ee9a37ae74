# SPDX-License-Identifier: Apache-2.0
"""Where the camera sits comes from TF, once or for each image, and is never guessed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import Header
from tf2_ros import Buffer

from flowcam_ros.geometry import se3
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import stamp_msg
from flowcam_ros.ros.extrinsics import Extrinsics, TransformMissing
from flowcam_ros.ros.log_bridge import RosLogHandler

SECOND = 10**9


@pytest.fixture(scope='module')
def node() -> Iterator[Node]:
    context = Context()
    context.init(domain_id=97)
    made = Node('extrinsics', context=context)
    yield made
    made.destroy_node()
    context.try_shutdown()


def edge(parent: str, child: str, pose: np.ndarray, stamp: int = 0) -> TransformStamped:
    message = TransformStamped(
        header=Header(stamp=stamp_msg(stamp), frame_id=parent), child_frame_id=child
    )
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = map(float, pose[:3, 3])
    q.x, q.y, q.z, q.w = map(float, se3.quaternion(pose))
    return message


def make(node: Node, **options: object) -> tuple[Extrinsics, Buffer]:
    buffer = Buffer()
    values = {'wait_for_transform': 0.01, **options}
    config = dataclasses.replace(OdometryNodeConfig(), **values)  # type: ignore[arg-type]
    return Extrinsics(node, config, buffer), buffer


def listens(node: Node) -> bool:
    return any(subscription.topic_name == '/tf' for subscription in node.subscriptions)


def test_a_fixed_camera_is_looked_up_once_and_tf_heard_no_more(node: Node) -> None:
    extrinsics, buffer = make(node)
    mount = se3.exp(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    assert listens(node)
    buffer.set_transform_static(edge('base_link', 'camera', mount), 'test')
    assert extrinsics.base_from_camera('camera', SECOND) == pytest.approx(mount)
    extrinsics.tidy()
    assert not listens(node)
    buffer.set_transform_static(edge('base_link', 'camera', np.eye(4)), 'test')
    assert extrinsics.base_from_camera('camera', 2 * SECOND) == pytest.approx(mount)
    with pytest.raises(TransformMissing):
        extrinsics.lookup('camera', 'depth_camera', SECOND)
    extrinsics.tidy()
    assert listens(node)
    extrinsics.close()
    assert not listens(node)


def test_the_camera_itself_needs_no_tf(node: Node) -> None:
    extrinsics, _ = make(node, base_frame='')
    assert extrinsics.base_from_camera('camera', SECOND) is None
    assert not listens(node)


def test_a_moving_head_is_looked_up_at_each_stamp(node: Node) -> None:
    extrinsics, buffer = make(node, tf_is_dynamic=True)
    turns = [se3.exp(np.array([0.1, 0, 0, 0, 0, angle])) for angle in (0.0, 0.2)]
    for k, turn in enumerate(turns):
        buffer.set_transform(edge('base_link', 'camera', turn, (k + 1) * SECOND), 'test')
    first = extrinsics.base_from_camera('camera', SECOND)
    assert extrinsics.camera_in_base_twist(first, SECOND) == pytest.approx(np.zeros(6))
    second = extrinsics.base_from_camera('camera', 2 * SECOND)
    assert second == pytest.approx(turns[1])
    own = extrinsics.camera_in_base_twist(second, 2 * SECOND)
    assert own == pytest.approx(se3.log(se3.inverse(turns[0]) @ turns[1]))
    with pytest.raises(TransformMissing, match='camera'):
        extrinsics.base_from_camera('camera', 9 * SECOND)
    extrinsics.clear()  # time went back
    with pytest.raises(TransformMissing):
        extrinsics.base_from_camera('camera', SECOND)
    extrinsics.close()


def test_what_is_missing_is_named_with_what_is_known(node: Node) -> None:
    extrinsics, buffer = make(node)
    with pytest.raises(TransformMissing, match='no frames are known'):
        extrinsics.base_from_camera('camera', SECOND)
    buffer.set_transform_static(edge('base_footprint', 'camera', np.eye(4)), 'test')
    with pytest.raises(TransformMissing) as missing:
        extrinsics.base_from_camera('camera', SECOND)
    text = str(missing.value)
    assert "from camera frame 'camera' to 'base_link': TF has no frame 'base_link'" in text
    assert 'frames known: base_footprint, camera' in text
    buffer.set_transform_static(edge('odom', 'base_link', np.eye(4)), 'test')
    with pytest.raises(TransformMissing, match='frames known'):
        extrinsics.base_from_camera('camera', SECOND)
    extrinsics.close()


def test_core_log_lines_of_every_severity_reach_the_node(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = RosLogHandler(node.get_logger())
    for level in (logging.INFO, logging.WARNING, logging.ERROR, logging.INFO):
        record = logging.LogRecord('x', level, 'file', 1, 'scaled to %d', (level,), None)
        handler.emit(record)
    captured = capfd.readouterr()
    text = captured.out + captured.err
    assert all(f'scaled to {level}' in text for level in (20, 30, 40))
