# SPDX-License-Identifier: Apache-2.0
"""Trajectories as TUM files: ``stamp tx ty tz qx qy qz qw`` a line, seconds and metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from flowcam_ros.export.atomic import write_text
from flowcam_ros.geometry.trajectory import Trajectory

HEADER = '# stamp tx ty tz qx qy qz qw (s, m; camera-to-world, x right y down z forward)'


def format_stamp(stamp_ns: int) -> str:
    """Return integer nanoseconds as seconds with nine decimals, exactly."""
    sign = '-' if stamp_ns < 0 else ''
    seconds, nanoseconds = divmod(abs(int(stamp_ns)), 1_000_000_000)
    return f'{sign}{seconds}.{nanoseconds:09d}'


def format_trajectory(trajectory: Trajectory, header: str = HEADER) -> str:
    """Return the text of a TUM file; numbers carry nine significant decimals."""
    lines = [header] if header else []
    if len(trajectory):
        poses = trajectory.world_from_camera
        quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat(canonical=True)
        for stamp, row in zip(
            trajectory.stamps_ns, np.hstack([poses[:, :3, 3], quaternions]), strict=True
        ):
            lines.append(f'{format_stamp(stamp)} ' + ' '.join(f'{value:.9f}' for value in row))
    return '\n'.join(lines) + '\n'


def write_trajectory(path: Path, trajectory: Trajectory, header: str = HEADER) -> None:
    """Write a new TUM file.

    Raises:
        OutputError: the file exists already or cannot be written.
        ValueError: a pose holds NaN or infinity.
    """
    if not np.isfinite(trajectory.world_from_camera).all():
        raise ValueError('a trajectory with NaN or infinity is not written')
    write_text(path, format_trajectory(trajectory, header))
