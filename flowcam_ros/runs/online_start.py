# SPDX-License-Identifier: Apache-2.0
"""The path of a recording that `flowcam odometry` has written, to start a refinement from."""

from __future__ import annotations

from pathlib import Path

from flowcam_ros.errors import ConfigError
from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.sequences.tum_file import read_trajectory

TRAJECTORY = 'trajectory.tum'


def read_online_path(folder: str) -> OnlinePath | None:
    """Return the path in a folder of ``flowcam odometry``; None if no folder is named.

    Raises:
        ConfigError: there is none in it.
        SequenceError: its file is damaged.
    """
    if not folder:
        return None
    file = Path(folder).expanduser() / TRAJECTORY
    if not file.is_file():
        raise ConfigError(
            f'odometry: {folder} holds no {TRAJECTORY}; name a folder written by flowcam odometry'
        )
    return OnlinePath.of_trajectory(read_trajectory(file))
