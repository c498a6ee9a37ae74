# SPDX-License-Identifier: Apache-2.0
"""Trajectories in the format of the KITTI odometry benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowcam_ros.export.atomic import make_folder, write_text
from flowcam_ros.export.tum import format_stamp
from flowcam_ros.geometry.trajectory import Trajectory


def write_kitti(folder: Path, trajectory: Trajectory) -> None:
    """Write ``poses.txt`` and ``times.txt``, a line each for every pose.

    A pose is the upper three rows of ``world_from_camera``, row after row; the first one stays as
    it is, which need not be the identity. A time is the stamp in seconds.

    Raises:
        OutputError: a file exists already or cannot be written.
        ValueError: a pose holds NaN or infinity.
    """
    poses = trajectory.world_from_camera
    if not np.isfinite(poses).all():
        raise ValueError('a trajectory with NaN or infinity is not written')
    lines = (' '.join(f'{value:.9e}' for value in pose[:3].ravel()) for pose in poses)
    make_folder(folder)
    write_text(folder / 'poses.txt', ''.join(line + '\n' for line in lines))
    times = ''.join(format_stamp(stamp) + '\n' for stamp in trajectory.stamps_ns)
    write_text(folder / 'times.txt', times)
