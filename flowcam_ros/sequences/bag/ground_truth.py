# SPDX-License-Identifier: Apache-2.0
"""The true camera path recorded in a bag."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from flowcam_ros.errors import FrameRejected, SequenceError
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.bag.messages import ODOMETRY, deserialize, stamp_of
from flowcam_ros.sequences.bag.raw import MessageSource
from flowcam_ros.sequences.bag.static_tf import StaticTransforms
from flowcam_ros.sequences.losses import LossLog

GROUND_TRUTH_TOPIC = '/ground_truth/odom'


def read_ground_truth(
    path: Path, source: MessageSource, camera_frame: str, transforms: StaticTransforms
) -> Trajectory | None:
    """Return the path of ``camera_frame``; None if the bag does not hold the topic.

    Messages that are damaged or not later than the one before are left out; ``path`` is for
    messages to the user.

    Raises:
        SequenceError: the body that moves has no fixed transform to the camera.
    """
    if not any(t.name == GROUND_TRUTH_TOPIC and t.type == ODOMETRY for t in source.topics()):
        return None
    stamps: list[int] = []
    poses: list[np.ndarray] = []
    body_from_camera: dict[str, np.ndarray] = {}
    unknown = ''
    for raw in source.messages({GROUND_TRUTH_TOPIC}, LossLog()):
        try:
            message = deserialize(raw)
            stamp = stamp_of(message.header)
        except FrameRejected:
            continue
        p, q = message.pose.pose.position, message.pose.pose.orientation
        values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
        believable = np.isfinite(values).all() and 0.9 < math.hypot(*values[3:]) < 1.1
        if (stamps and stamp <= stamps[-1]) or not believable:
            continue
        body = message.child_frame_id
        if body not in body_from_camera:
            found = transforms.lookup(body, camera_frame)
            if found is None:
                unknown = unknown or body
                continue
            body_from_camera[body] = found
        stamps.append(stamp)
        poses.append(se3.from_quaternion(values[:3], values[3:]) @ body_from_camera[body])
    if not stamps:
        if not unknown:
            return None
        raise SequenceError(
            f'{path}: {GROUND_TRUTH_TOPIC} moves {unknown}, and /tf_static has no transform from '
            f'{camera_frame} to it, so the true path of the camera is unknown'
        )
    return Trajectory(np.array(stamps, np.int64), np.stack(poses))
