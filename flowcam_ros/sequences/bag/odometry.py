# SPDX-License-Identifier: Apache-2.0
"""Paths that a bag holds as nav_msgs/Odometry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.bag.messages import ODOMETRY, deserialize, stamp_of
from flowcam_ros.sequences.bag.raw import MessageSource
from flowcam_ros.sequences.bag.static_tf import StaticTransforms
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.sequence import BodyPath

ODOMETRY_TOPIC = '/odom'


@dataclass(frozen=True)
class RecordedPose:
    """One message: where ``body`` was in ``frame``."""

    stamp_ns: int
    frame: str
    body: str
    frame_from_body: Matrix4


def recorded_poses(source: MessageSource, topic: str) -> Iterator[RecordedPose]:
    """Yield the poses of a topic; those damaged or not later than the one before are left out."""
    if not any(t.name == topic and t.type == ODOMETRY for t in source.topics()):
        return
    latest: int | None = None
    for raw in source.messages({topic}, LossLog()):
        try:
            message = deserialize(raw)
            stamp = stamp_of(message.header)
        except FrameRejected:
            continue
        p, q = message.pose.pose.position, message.pose.pose.orientation
        values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
        believable = np.isfinite(values).all() and 0.9 < math.hypot(*values[3:]) < 1.1
        if (latest is not None and stamp <= latest) or not believable:
            continue
        latest = stamp
        pose = se3.from_quaternion(values[:3], values[3:])
        yield RecordedPose(stamp, message.header.frame_id, message.child_frame_id, pose)


def read_odometry(
    source: MessageSource, camera_frame: str, transforms: StaticTransforms
) -> BodyPath | None:
    """Return the path on ``/odom``; None if the bag does not hold it.

    Messages about other frames than those of the first are left out.
    """
    poses = list(recorded_poses(source, ODOMETRY_TOPIC))
    if not poses:
        return None
    frame, body = poses[0].frame, poses[0].body
    poses = [pose for pose in poses if (pose.frame, pose.body) == (frame, body)]
    stamps = np.array([pose.stamp_ns for pose in poses], np.int64)
    return BodyPath(
        frame.removeprefix('/'),
        Trajectory(stamps, np.stack([pose.frame_from_body for pose in poses])),
        transforms.lookup(body, camera_frame),
    )
