# SPDX-License-Identifier: Apache-2.0
"""A reconstruction as a ROS 2 bag, to be played and shown beside the recording it came from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rosbags.rosbag2 import StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import OutputError
from flowcam_ros.export.atomic import check_new_file
from flowcam_ros.flowmap.reconstruction import DepthMap, Reconstruction
from flowcam_ros.flowmap.voxels import Cloud
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL
from flowcam_ros.geometry.interpolation import interpolated
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.bag.message_writer import MessageWriter

ODOMETRY_TOPIC = '/refined/odom'
PATH_TOPIC = '/refined/path'
DEPTH_TOPIC = '/refined/depth/image_rect'
INFO_TOPIC = '/refined/depth/camera_info'
POINTS_TOPIC = '/refined/points'
# Frames of our own, so that nothing moves in the tree of the recording.
CAMERA_FRAME = 'refined_camera'
OPTICAL_FRAME = 'refined_camera_optical_frame'
# Between poses of the odometry that are farther apart it may have done anything.
_MAX_GAP_NS = 500_000_000
_POINT = np.dtype([('xyz', '<f4', 3), ('rgb', '<u4')])
_CLOUD = 'sensor_msgs/msg/PointCloud2'
_FIELD = 'sensor_msgs/msg/PointField'
_PATH = 'nav_msgs/msg/Path'
_FLOAT32 = 7


@dataclass(frozen=True)
class RecordedOdometry:
    """The odometry that the recording itself holds, in the unit of the reconstruction.

    Attributes:
        frame: its world-fixed frame, such as ``odom``; REP-103 axes (z up).
        path: pose of the camera's optical frame in it, ``odom_from_camera``.
    """

    frame: str
    path: Trajectory


def write_bag(
    folder: Path,
    reconstruction: Reconstruction,
    cloud: Cloud | None = None,
    odometry: RecordedOdometry | None = None,
    map_frame: str = 'map',
) -> dict[str, int]:
    """Write a new mcap bag at the stamps of the recording; return the messages of each topic.

    ``/refined/odom`` and ``/refined/path`` (latched) hold the poses of a body with the camera
    (x forward, y left, z up) in the map, ``/refined/depth/image_rect`` with ``camera_info`` the
    depth maps (32FC1, NaN where unknown), ``/refined/points`` (latched) the cloud. ``/tf`` leads
    from the map to ``refined_camera``, and, as REP-105 wants it, from the map to the odometry
    frame where there is one; never to the robot's base.

    Args:
        folder: the bag to make; its parent exists.
        reconstruction: what to write.
        cloud: the fused one, in the world of the reconstruction.
        odometry: of the recording, for ``map -> odom``.
        map_frame: name another one where the recording has a map of its own.

    Raises:
        OutputError: the bag exists already or cannot be written.
        SequenceError: a stamp is more than a message can hold.
    """
    check_new_file(folder)
    try:
        writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        with writer:
            latched = ('/tf_static', PATH_TOPIC, POINTS_TOPIC)
            messages = MessageWriter(writer, latched)
            bag = _RefinedBag(messages, reconstruction, odometry, map_frame)
            bag.write_lasting(cloud)
            bag.write_moving()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise OutputError(f'{folder}: cannot be written ({reason})') from error
        raise
    return messages.counts


def map_from_world(
    trajectory: Trajectory, odometry: RecordedOdometry | None = None
) -> Float[np.ndarray, '4 4']:
    """Return where the world of a reconstruction lies in the map; REP-103 axes.

    At the first frame whose place in the odometry is known, ``map -> odom`` is the identity. With
    no odometry the map lies in the first camera, with body axes.
    """
    poses = trajectory.world_from_camera
    if odometry is not None:
        there, known = interpolated(odometry.path, trajectory.stamps_ns, _MAX_GAP_NS)
        if known.any():
            first = int(np.argmax(known))
            return there[first] @ se3.inverse(poses[first])
    return BODY_FROM_OPTICAL @ se3.inverse(poses[0]) if len(poses) else BODY_FROM_OPTICAL


def map_from_odom(
    trajectory: Trajectory, odometry: RecordedOdometry | None = None
) -> Float[np.ndarray, '4 4']:
    """Return where the odometry's frame lies in the map of :func:`map_from_world`, once for all.

    The transforms at all frames are averaged, so that the drift is shared between beginning and
    end. The identity where there is no odometry.
    """
    if odometry is None:
        return np.eye(4)
    there, known = interpolated(odometry.path, trajectory.stamps_ns, _MAX_GAP_NS)
    if not known.any():
        return np.eye(4)
    place = map_from_world(trajectory, odometry)
    refined, recorded = place @ trajectory.world_from_camera[known], there[known]
    result = np.eye(4)
    turns = refined[:, :3, :3] @ recorded[:, :3, :3].transpose(0, 2, 1)
    result[:3, :3] = Rotation.from_matrix(turns).mean().as_matrix()
    away = refined[:, :3, 3] - recorded[:, :3, 3] @ result[:3, :3].T
    result[:3, 3] = away.mean(axis=0)
    return result


class _RefinedBag:
    """What the messages of one bag have in common."""

    def __init__(
        self,
        messages: MessageWriter,
        reconstruction: Reconstruction,
        odometry: RecordedOdometry | None,
        map_frame: str,
    ) -> None:
        self._messages = messages
        self._reconstruction = reconstruction
        self._odometry = odometry
        self._map = map_frame
        trajectory = reconstruction.trajectory
        self._stamps: list[int] = trajectory.stamps_ns.tolist()
        self._map_from_world = map_from_world(trajectory, odometry)
        self._map_from_camera = self._map_from_world @ trajectory.world_from_camera
        self._map_from_body = self._map_from_camera @ se3.inverse(BODY_FROM_OPTICAL)

    def write_lasting(self, cloud: Cloud | None) -> None:
        """Write what holds for the whole recording, at its first stamp."""
        if not self._stamps:
            return
        edge = (CAMERA_FRAME, OPTICAL_FRAME, BODY_FROM_OPTICAL)
        self._messages.write_transforms('/tf_static', self._stamps[0], [edge])
        self._write_path()
        if cloud is not None:
            self._write_cloud(cloud)

    def write_moving(self) -> None:
        """Write poses, transforms and depth in the order of time."""
        reconstruction, messages = self._reconstruction, self._messages
        with_depth = set(reconstruction.depth.frames())
        map_from_odom = self._map_from_odom()
        for k, stamp in enumerate(self._stamps):
            pose = self._map_from_body[k]
            messages.write_pose(ODOMETRY_TOPIC, stamp, self._map, CAMERA_FRAME, pose)
            edges = [(self._map, CAMERA_FRAME, pose)]
            if self._odometry is not None and k in map_from_odom:
                edges.append((self._map, self._odometry.frame, map_from_odom[k]))
            messages.write_transforms('/tf', stamp, edges)
            if k in with_depth:
                self._write_depth(stamp, reconstruction.depth[k])

    def _map_from_odom(self) -> dict[int, Float[np.ndarray, '4 4']]:
        if self._odometry is None:
            return {}
        stamps = self._reconstruction.trajectory.stamps_ns
        there, known = interpolated(self._odometry.path, stamps, _MAX_GAP_NS)
        return {
            k: self._map_from_camera[k] @ se3.inverse(there[k])
            for k in np.flatnonzero(known).tolist()
        }

    def _write_depth(self, stamp: int, depth_map: DepthMap) -> None:
        depth = np.full(depth_map.inverse_depth.shape, np.nan, np.float32)
        known = depth_map.inverse_depth > 0
        depth[known] = 1 / depth_map.inverse_depth[known]
        self._messages.write_image(DEPTH_TOPIC, stamp, OPTICAL_FRAME, '32FC1', depth)
        self._messages.write_info(INFO_TOPIC, stamp, OPTICAL_FRAME, depth_map.camera)

    def _write_path(self) -> None:
        messages, first = self._messages, self._stamps[0]
        stamped = messages.types['geometry_msgs/msg/PoseStamped']
        poses = [
            stamped(header=messages.header(stamp, self._map), pose=messages.pose(pose))
            for stamp, pose in zip(self._stamps, self._map_from_body, strict=True)
        ]
        path = messages.types[_PATH](header=messages.header(first, self._map), poses=poses)
        messages.write(PATH_TOPIC, _PATH, first, path)

    def _write_cloud(self, cloud: Cloud) -> None:
        messages, first = self._messages, self._stamps[0]
        rotation, translation = self._map_from_world[:3, :3], self._map_from_world[:3, 3]
        points = np.empty(len(cloud), _POINT)
        points['xyz'] = cloud.positions @ rotation.T + translation
        red, green, blue = cloud.colors.astype(np.uint32).T
        points['rgb'] = (red << 16) | (green << 8) | blue
        fields = [
            messages.types[_FIELD](name=name, offset=4 * i, datatype=_FLOAT32, count=1)
            for i, name in enumerate(('x', 'y', 'z', 'rgb'))
        ]
        message = messages.types[_CLOUD](
            header=messages.header(first, self._map),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=_POINT.itemsize,
            row_step=points.nbytes,
            data=points.view(np.uint8),
            is_dense=True,
        )
        messages.write(POINTS_TOPIC, _CLOUD, first, message)
