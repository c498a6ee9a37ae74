# SPDX-License-Identifier: Apache-2.0
"""The true camera path recorded in a bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowcam_ros.errors import SequenceError
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.bag.odometry import recorded_poses
from flowcam_ros.sequences.bag.raw import MessageSource
from flowcam_ros.sequences.bag.static_tf import StaticTransforms

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
    stamps: list[int] = []
    poses: list[np.ndarray] = []
    body_from_camera: dict[str, np.ndarray] = {}
    unknown = ''
    for pose in recorded_poses(source, GROUND_TRUTH_TOPIC):
        if pose.body not in body_from_camera:
            found = transforms.lookup(pose.body, camera_frame)
            if found is None:
                unknown = unknown or pose.body
                continue
            body_from_camera[pose.body] = found
        stamps.append(pose.stamp_ns)
        poses.append(pose.frame_from_body @ body_from_camera[pose.body])
    if not stamps:
        if not unknown:
            return None
        raise SequenceError(
            f'{path}: {GROUND_TRUTH_TOPIC} moves {unknown}, and /tf_static has no transform from '
            f'{camera_frame} to it, so the true path of the camera is unknown'
        )
    return Trajectory(np.array(stamps, np.int64), np.stack(poses))
