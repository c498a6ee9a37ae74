# SPDX-License-Identifier: Apache-2.0
"""Read trajectories in the TUM format: ``stamp tx ty tz qx qy qz qw`` a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import SequenceError
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.stamps import parse_stamp
from flowcam_ros.sequences.table_file import read_rows

_COLUMNS = 'stamp tx ty tz qx qy qz qw'
# Beyond this the squares of errors mean nothing, and at last overflow.
_FARTHEST_M = 1e12


def read_trajectory(path: Path | str) -> Trajectory:
    """Read a TUM file: seconds, metres, camera-to-world, quaternion x y z w.

    Comments (``#``) and empty lines are skipped, commas count as blanks, quaternions are
    normalised.

    Raises:
        SequenceError: the file cannot be read, has no pose, or a line is wrong; the message names
            the line.
    """
    path = Path(path)
    stamps: list[int] = []
    rows: list[list[float]] = []
    for number, words in read_rows(path):
        try:
            stamp, row = _parse(words)
        except ValueError as error:
            raise SequenceError(f'{path}, line {number}: {error}') from error
        if stamps and stamp <= stamps[-1]:
            raise SequenceError(
                f'{path}, line {number}: stamp {words[0]} is not later than the one before; '
                'sort the file by time'
            )
        stamps.append(stamp)
        rows.append(row)
    if not rows:
        raise SequenceError(f'{path}: no pose in it; expected lines of {_COLUMNS}')
    values = np.array(rows)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, 3] = values[:, :3]
    poses[:, :3, :3] = Rotation.from_quat(values[:, 3:]).as_matrix()
    return Trajectory(np.array(stamps, np.int64), poses)


def _parse(words: list[str]) -> tuple[int, list[float]]:
    if len(words) != 8:
        raise ValueError(f'{len(words)} columns; expected 8: {_COLUMNS}')
    stamp = parse_stamp(words[0])
    try:
        row = [float(word) for word in words[1:]]
    except ValueError as error:
        raise ValueError(f'not a number ({error})') from error
    if not np.isfinite(row).all():
        raise ValueError('NaN or infinity in a pose')
    if max(map(abs, row[:3])) > _FARTHEST_M:
        raise ValueError(f'a position beyond {_FARTHEST_M:g} m')
    length = float(np.linalg.norm(row[3:]))
    if not 0.9 < length < 1.1:
        raise ValueError(f'the quaternion has length {length:.3g} instead of 1')
    return stamp, row
