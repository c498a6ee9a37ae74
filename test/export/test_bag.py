# SPDX-License-Identifier: Apache-2.0
"""A refined bag shows the reconstruction where it is, beside the recording and not in its way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reconstructions import PERIOD_NS, START_NS, make_reconstruction
from rosbags.highlevel import AnyReader

from flowcam_ros.errors import OutputError, SequenceError
from flowcam_ros.export.bag import RecordedOdometry, map_from_world, write_bag
from flowcam_ros.flowmap.fuse import fuse
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL
from flowcam_ros.geometry.trajectory import Trajectory

Messages = dict[str, list[tuple[int, Any]]]


def read(folder: Path) -> Messages:
    found: Messages = {}
    with AnyReader([folder]) as reader:
        times = []
        for connection, stamp, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((stamp, message))
            times.append(stamp)
    assert times == sorted(times)
    return found


def matrix(pose: Any) -> np.ndarray:
    p = pose.position if hasattr(pose, 'position') else pose.translation
    q = pose.orientation if hasattr(pose, 'orientation') else pose.rotation
    return se3.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def edges(found: Messages, topic: str, child: str) -> dict[int, tuple[str, np.ndarray]]:
    return {
        stamp: (edge.header.frame_id, matrix(edge.transform))
        for stamp, message in found[topic]
        for edge in message.transforms
        if edge.child_frame_id == child
    }


def odometry_of(poses: np.ndarray, stamps: np.ndarray) -> RecordedOdometry:
    return RecordedOdometry('odom', Trajectory(stamps, poses))


def test_poses_are_those_of_a_body_in_a_level_map(tmp_path: Path) -> None:
    ours = make_reconstruction()
    counts = write_bag(tmp_path / 'bag', ours)
    found = read(tmp_path / 'bag')
    assert counts == {topic: len(messages) for topic, messages in found.items()}
    assert set(found) == {
        *('/refined/odom', '/refined/path', '/tf', '/tf_static'),
        *('/refined/depth/image_rect', '/refined/depth/camera_info'),
    }
    first = se3.inverse(ours.trajectory.world_from_camera[0])
    for k, (stamp, message) in enumerate(found['/refined/odom']):
        assert stamp == START_NS + k * PERIOD_NS
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp
        assert (message.header.frame_id, message.child_frame_id) == ('map', 'refined_camera')
        moved = first @ ours.trajectory.world_from_camera[k]
        expected = BODY_FROM_OPTICAL @ moved @ BODY_FROM_OPTICAL.T
        assert np.allclose(matrix(message.pose.pose), expected, atol=1e-9)
        parent, pose = edges(found, '/tf', 'refined_camera')[stamp]
        assert parent == 'map' and np.allclose(pose, expected, atol=1e-9)
        path = found['/refined/path'][0][1].poses[k]
        assert np.allclose(matrix(path.pose), expected, atol=1e-9)
    (parent, optical) = edges(found, '/tf_static', 'refined_camera_optical_frame')[START_NS]
    assert parent == 'refined_camera' and np.allclose(optical, BODY_FROM_OPTICAL)


def test_depth_lies_in_the_optical_frame(tmp_path: Path) -> None:
    ours = make_reconstruction()
    write_bag(tmp_path / 'bag', ours)
    found = read(tmp_path / 'bag')
    pairs = zip(
        found['/refined/depth/image_rect'], found['/refined/depth/camera_info'], strict=True
    )
    for k, ((stamp, image), (_, info)) in zip((0, 2, 4), pairs, strict=True):
        expected = ours.depth[k]
        assert stamp == START_NS + k * PERIOD_NS and image.encoding == '32FC1'
        assert image.header.frame_id == info.header.frame_id == 'refined_camera_optical_frame'
        depth = image.data.view('<f4').reshape(image.height, image.width)
        assert np.isnan(depth[0, :3]).all() and np.isfinite(depth[1:]).all()
        assert np.allclose(depth[1:], 1 / expected.inverse_depth[1:])
        assert np.allclose(info.k.reshape(3, 3), expected.camera.matrix) and not info.d.any()


def test_the_cloud_comes_first_and_stays(tmp_path: Path) -> None:
    ours = make_reconstruction()
    cloud = fuse(ours)
    write_bag(tmp_path / 'bag', ours, cloud)
    (stamp, message), *more = read(tmp_path / 'bag')['/refined/points']
    assert not more and stamp == START_NS and message.header.frame_id == 'map'
    points = message.data.view(np.dtype([('xyz', '<f4', 3), ('rgb', '<u4')]))
    back = se3.inverse(map_from_world(ours.trajectory))
    assert np.allclose(points['xyz'] @ back[:3, :3].T + back[:3, 3], cloud.positions, atol=1e-5)
    assert np.array_equal(points['rgb'] >> 16, cloud.colors[:, 0])
    assert np.array_equal(points['rgb'] & 255, cloud.colors[:, 2])
    with AnyReader([tmp_path / 'bag']) as reader:
        durable = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
    latched = {topic for topic, value in durable.items() if value.name == 'TRANSIENT_LOCAL'}
    assert latched == {'/tf_static', '/refined/path', '/refined/points'}


def test_with_odometry_the_map_corrects_it(tmp_path: Path) -> None:
    ours = make_reconstruction()
    drift = se3.exp(np.array([0.02, 0.01, 0.0, 0.0, 0.0, 0.01]))
    start = se3.exp(np.array([5.0, -2.0, 0.5, 0.0, 0.0, 0.7])) @ BODY_FROM_OPTICAL
    poses = [start @ pose for pose in ours.trajectory.world_from_camera]
    for k in range(1, 6):
        poses[k] = np.linalg.matrix_power(drift, k) @ poses[k]
    # The odometry starts one frame late.
    odometry = odometry_of(np.stack(poses[1:]), ours.trajectory.stamps_ns[1:])
    write_bag(tmp_path / 'bag', ours, odometry=odometry)
    found = read(tmp_path / 'bag')
    corrections = edges(found, '/tf', 'odom')
    camera = edges(found, '/tf', 'refined_camera')
    assert list(corrections) == [START_NS + k * PERIOD_NS for k in range(1, 6)]
    for k, (stamp, (parent, map_from_odom)) in enumerate(corrections.items(), 1):
        assert parent == 'map'
        there = map_from_odom @ poses[k]
        assert np.allclose(there, camera[stamp][1] @ BODY_FROM_OPTICAL, atol=1e-9)
    assert np.allclose(corrections[START_NS + PERIOD_NS][1], np.eye(4), atol=1e-9)
    assert not edges(found, '/tf', 'base_link')


def test_odometry_of_another_time_does_not_matter(tmp_path: Path) -> None:
    ours = make_reconstruction()
    odometry = odometry_of(np.eye(4)[None], np.array([5]))
    write_bag(tmp_path / 'bag', ours, odometry=odometry, map_frame='refined_map')
    found = read(tmp_path / 'bag')
    assert not edges(found, '/tf', 'odom')
    assert edges(found, '/tf', 'refined_camera')[START_NS][0] == 'refined_map'
    assert np.allclose(edges(found, '/tf', 'refined_camera')[START_NS][1], np.eye(4))


def test_an_existing_bag_is_kept(tmp_path: Path) -> None:
    (tmp_path / 'bag').mkdir()
    with pytest.raises(OutputError, match='exists already'):
        write_bag(tmp_path / 'bag', make_reconstruction())
    assert not list((tmp_path / 'bag').iterdir())


def test_stamps_that_no_message_holds_are_told(tmp_path: Path) -> None:
    ours = make_reconstruction(frames=1)
    early = dataclasses.replace(ours.trajectory, stamps_ns=np.array([-5]))
    with pytest.raises(SequenceError, match='a ROS message holds'):
        write_bag(tmp_path / 'bag', dataclasses.replace(ours, trajectory=early))
    assert not list(tmp_path.iterdir())


def test_ros_reads_the_messages(tmp_path: Path) -> None:
    serialization = pytest.importorskip('rclpy.serialization', reason='needs ROS 2')
    from nav_msgs.msg import Odometry
    from nav_msgs.msg import Path as PathMsg
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2
    from tf2_msgs.msg import TFMessage

    types = {
        'nav_msgs/msg/Odometry': Odometry,
        'nav_msgs/msg/Path': PathMsg,
        'sensor_msgs/msg/CameraInfo': CameraInfo,
        'sensor_msgs/msg/Image': Image,
        'sensor_msgs/msg/PointCloud2': PointCloud2,
        'tf2_msgs/msg/TFMessage': TFMessage,
    }
    ours = make_reconstruction()
    cloud = fuse(ours)
    write_bag(tmp_path / 'bag', ours, cloud)
    with AnyReader([tmp_path / 'bag']) as reader:
        for connection, _, raw in reader.messages():
            message = serialization.deserialize_message(bytes(raw), types[connection.msgtype])
            if connection.topic == '/refined/points':
                assert (message.width, message.height) == (len(cloud), 1)
                assert [field.name for field in message.fields] == ['x', 'y', 'z', 'rgb']
