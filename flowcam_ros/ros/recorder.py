# SPDX-License-Identifier: Apache-2.0
"""The poses so far: all of them for a file, and a bounded, ever coarser path for the eye."""

from __future__ import annotations

import threading

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.ros.conversions import BodyMotion

_BLOCK = 4096


class TrajectoryRecorder:
    """Keeps the newest poses, 64 bytes each; may be read by another thread.

    Args:
        max_size: poses kept at most.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all poses; call when a new epoch begins."""
        with self._lock:
            self._stamps: np.ndarray = np.empty(0, np.int64)
            self._poses: np.ndarray = np.empty((0, 7))
            self._size = 0
            self.forgotten = 0

    def add(self, motion: BodyMotion) -> None:
        """Keep one pose; one whose stamp does not increase is left out."""
        with self._lock:
            if self._size and motion.stamp_ns <= self._stamps[self._size - 1]:
                return
            if self._size == len(self._stamps):
                self._make_room()
            self._stamps[self._size] = motion.stamp_ns
            self._poses[self._size, :3] = motion.odom_from_base[:3, 3]
            self._poses[self._size, 3:] = motion.quaternion
            self._size += 1

    def _make_room(self) -> None:
        """Grow by a block, or forget the oldest tenth when that would be too many."""
        if self._size >= self._max_size:
            gone = max(1, self._max_size // 10)
            self._stamps[:-gone] = self._stamps[gone:].copy()
            self._poses[:-gone] = self._poses[gone:].copy()
            self._size -= gone
            self.forgotten += gone
            return
        more = min(_BLOCK, self._max_size - self._size)
        self._stamps = np.concatenate([self._stamps, np.empty(more, np.int64)])
        self._poses = np.concatenate([self._poses, np.empty((more, 7))])

    def trajectory(self) -> Trajectory:
        """Return the poses of the base frame in the odometry frame."""
        with self._lock:
            stamps = self._stamps[: self._size].copy()
            rows = self._poses[: self._size].copy()
        poses: Float[np.ndarray, 'n 4 4'] = np.tile(np.eye(4), (len(stamps), 1, 1))
        if len(stamps):
            poses[:, :3, :3] = Rotation.from_quat(rows[:, 3:]).as_matrix()
            poses[:, :3, 3] = rows[:, :3]
        return Trajectory(stamps, poses)


class PathRecorder:
    """Keeps the whole path with a bounded number of poses.

    When it is full every second pose goes and from then on only every second one is taken, so that
    sending the path costs the same after an hour as after a minute.

    Args:
        max_size: poses kept at most.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all poses; call when a new epoch begins."""
        with self._lock:
            self._poses: list[PoseStamped] = []
            self._latest: PoseStamped | None = None
            self._stride = 1
            self._count = 0

    def add(self, pose: PoseStamped) -> None:
        """Take one pose."""
        with self._lock:
            self._latest = pose
            if self._count % self._stride == 0:
                self._poses.append(pose)
            self._count += 1
            if len(self._poses) >= self._max_size:
                self._poses = self._poses[::2]
                self._stride *= 2

    def poses(self) -> list[PoseStamped]:
        """Return the path, up to the latest pose."""
        with self._lock:
            poses = list(self._poses)
            if self._latest is not None and (not poses or poses[-1] is not self._latest):
                poses.append(self._latest)
            return poses
