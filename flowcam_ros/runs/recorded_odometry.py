# SPDX-License-Identifier: Apache-2.0
"""The odometry of a recording: it tells the scale, and stands beside the reconstruction."""

from __future__ import annotations

from flowcam_ros.export.bag import RecordedOdometry
from flowcam_ros.flowmap.path_scale import scale_from_path
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.sequence import Sequence, WithOdometry


def known_path(sequence: Sequence) -> Trajectory | None:
    """Return the path of the robot's body in metres, if the recording's own odometry tells it."""
    known = sequence.odometry() if isinstance(sequence, WithOdometry) else None
    return None if known is None else known.path


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
    metres = 1.0
    if reconstruction.scale_source == 'none':
        factor = scale_from_path(reconstruction.trajectory, known.path).factor
        if factor is None:
            return None
        metres = factor
    poses = known.path.world_from_camera @ known.body_from_camera
    poses[:, :3, 3] /= metres
    return RecordedOdometry(known.frame, Trajectory(known.path.stamps_ns, poses))
