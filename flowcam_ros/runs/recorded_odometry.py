# SPDX-License-Identifier: Apache-2.0
"""The odometry of a recording: it tells the scale, and stands beside the reconstruction."""

from __future__ import annotations

from flowcam_ros.export.bag import RecordedOdometry
from flowcam_ros.flowmap.path_scale import KnownPath, scale_from_path
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.sequence import Sequence, WithOdometry

# So well the place of a camera on its robot is known.
_MOUNTED_M = 0.02


def known_path(sequence: Sequence) -> KnownPath | None:
    """Return the path in metres that the recording's own odometry tells, if there is one.

    That of the camera where its place on the body is known, else that of the body.
    """
    known = sequence.odometry() if isinstance(sequence, WithOdometry) else None
    if known is None:
        return None
    if known.body_from_camera is None:
        return KnownPath(known.path)
    poses = known.path.world_from_camera @ known.body_from_camera
    return KnownPath(Trajectory(known.path.stamps_ns, poses), _MOUNTED_M)


def recorded_odometry(
    sequence: Sequence, reconstruction: Reconstruction
) -> RecordedOdometry | None:
    """Return the camera's path by the recording's own odometry, in the reconstruction's unit.

    None if the recording holds none, if the camera's place on the robot is not known, or if the
    unit cannot be compared with metres.
    """
    known = sequence.odometry() if isinstance(sequence, WithOdometry) else None
    if known is None or known.body_from_camera is None:
        return None
    poses = known.path.world_from_camera @ known.body_from_camera
    if reconstruction.scale_source == 'none':
        path = KnownPath(Trajectory(known.path.stamps_ns, poses.copy()), _MOUNTED_M)
        factor = scale_from_path(reconstruction.trajectory, path).factor
        if factor is None:
            return None
        poses[:, :3, 3] /= factor
    return RecordedOdometry(known.frame, Trajectory(known.path.stamps_ns, poses))
