# SPDX-License-Identifier: Apache-2.0
"""Poses between those of a trajectory."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.spatial.transform import Rotation, Slerp

from flowcam_ros.geometry.trajectory import Trajectory


def interpolated(
    trajectory: Trajectory, stamps_ns: Int64[np.ndarray, ' m'], max_gap_ns: int
) -> tuple[Float[np.ndarray, 'm 4 4'], Bool[np.ndarray, ' m']]:
    """Return the poses at other stamps, and where they are known.

    Positions go in a straight line, rotations along the shortest arc. A pose is known at the
    stamps of the trajectory, and between two of them that are at most ``max_gap_ns`` apart; the
    others are the identity.
    """
    poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
    if not len(trajectory):
        return poses, np.zeros(len(stamps_ns), bool)
    own = trajectory.stamps_ns
    after = np.searchsorted(own, stamps_ns)
    inside = after < len(own)
    after = np.minimum(after, len(own) - 1)
    exact = own[after] == stamps_ns
    before = np.where(exact, after, np.maximum(after - 1, 0))
    inside &= exact | ((after > 0) & (own[after] - own[before] <= max_gap_ns))
    matrices = trajectory.world_from_camera
    # Differences first: nanoseconds of the clock are more than a float64 can tell apart.
    gaps = np.maximum(own[after] - own[before], 1)
    share = ((stamps_ns - own[before]) / gaps)[:, None]
    poses[:, :3, 3] = (1 - share) * matrices[before, :3, 3] + share * matrices[after, :3, 3]
    if len(own) > 1:
        turn = Slerp(own - own[0], Rotation.from_matrix(matrices[:, :3, :3]))
        poses[:, :3, :3] = turn(np.clip(stamps_ns, own[0], own[-1]) - own[0]).as_matrix()
    else:
        poses[:, :3, :3] = matrices[0, :3, :3]
    poses[~inside] = np.eye(4)
    return poses, inside
