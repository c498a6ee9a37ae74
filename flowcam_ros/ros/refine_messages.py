# SPDX-License-Identifier: Apache-2.0
"""A reconstruction as messages: its path, its cloud, and where the odometry lies in its map."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, TransformStamped
from jaxtyping import Float, UInt8
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.ros.conversions import header, quaternion_msg, vector_msg
from flowcam_ros.ros.depth_messages import FIELDS, POINT


def path_msg(trajectory: Trajectory, map_from_world: Matrix4, map_frame: str) -> Path:
    """Return the poses of a body with the camera (x forward, y left, z up) in the map.

    Args:
        trajectory: world_from_camera, optical axes; the stamps are those of the recording.
        map_from_world: REP-103 axes of the map.
        map_frame: its name.
    """
    poses = map_from_world @ trajectory.world_from_camera @ se3.inverse(BODY_FROM_OPTICAL)
    stamps = trajectory.stamps_ns.tolist()
    stamped = [
        PoseStamped(header=header(stamp, map_frame), pose=_pose(pose))
        for stamp, pose in zip(stamps, poses, strict=True)
    ]
    return Path(header=header(stamps[-1] if stamps else 0, map_frame), poses=stamped)


def points_msg(
    positions: Float[np.ndarray, 'p 3'],
    colors: UInt8[np.ndarray, 'p 3'],
    map_from_world: Matrix4,
    message_header: Header,
    max_points: int,
) -> PointCloud2:
    """Return a cloud of x, y, z, rgb; of more than ``max_points`` each n-th.

    Args:
        positions: (P, 3) in the world.
        colors: (P, 3) red green blue.
        map_from_world: REP-103 axes of the map.
        message_header: names the map.
        max_points: that many at most.
    """
    step = max(1, -(-len(positions) // max_points))
    positions, colors = positions[::step], colors[::step]
    placed = positions @ map_from_world[:3, :3].T + map_from_world[:3, 3]
    points = np.empty(len(positions), POINT)
    points['x'], points['y'], points['z'] = placed.T
    red, green, blue = colors.astype(np.uint32).T
    points['rgb'] = (red << 16) | (green << 8) | blue
    message = PointCloud2(
        header=message_header,
        height=1,
        width=len(points),
        fields=FIELDS,
        is_bigendian=False,
        point_step=POINT.itemsize,
        row_step=points.nbytes,
        is_dense=True,
    )
    message.data.frombytes(points.view(np.uint8).data.cast('B'))
    return message


def edge_msg(parent_from_child: Matrix4, message_header: Header, child: str) -> TransformStamped:
    """Return a TF edge from the frame of the header to ``child``."""
    message = TransformStamped(header=message_header, child_frame_id=child)
    message.transform.translation = vector_msg(parent_from_child[:3, 3])
    message.transform.rotation = quaternion_msg(se3.quaternion(parent_from_child))
    return message


def _pose(pose: Matrix4) -> Pose:
    x, y, z = pose[:3, 3].tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=quaternion_msg(se3.quaternion(pose)))
