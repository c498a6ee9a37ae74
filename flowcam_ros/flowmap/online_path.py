# SPDX-License-Identifier: Apache-2.0
"""The camera's path as the online estimator sees it: where a refinement may start from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from flowcam_ros.errors import FrameRejected
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.pipeline import VisualOdometry

# Stamps written as decimal seconds and read again may differ by so much.
_SAME_NS = 2_000


@dataclass(frozen=True)
class OnlinePath:
    """Poses of frames in one world and one unit of length.

    Attributes:
        stamps_ns: (n,) increasing.
        world_from_camera: (n, 4, 4).
    """

    stamps_ns: Int64[np.ndarray, ' n']
    world_from_camera: Float[np.ndarray, 'n 4 4']

    def at(
        self, stamps_ns: Int64[np.ndarray, ' f']
    ) -> tuple[Float[np.ndarray, 'f 4 4'], Bool[np.ndarray, ' f']]:
        """Return the poses at these stamps, and which of them are known; others are identity."""
        poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
        if not len(self.stamps_ns):
            return poses, np.zeros(len(stamps_ns), bool)
        right = np.clip(np.searchsorted(self.stamps_ns, stamps_ns), 0, len(self.stamps_ns) - 1)
        left = np.maximum(right - 1, 0)
        nearer = np.abs(self.stamps_ns[left] - stamps_ns) < np.abs(
            self.stamps_ns[right] - stamps_ns
        )
        nearest = np.where(nearer, left, right)
        known = np.abs(self.stamps_ns[nearest] - stamps_ns) <= _SAME_NS
        poses[known] = self.world_from_camera[nearest[known]]
        return poses, known

    @classmethod
    def of_trajectory(cls, trajectory: Trajectory) -> OnlinePath:
        """Return the whole of a trajectory."""
        return cls(trajectory.stamps_ns, trajectory.world_from_camera)


class TrackedFrames:
    """Frames that are tracked as they are read, so that they need not be read once more.

    Args:
        frames: of a recording.
        config: how flow and depth are found.
    """

    def __init__(self, frames: Iterable[Frame], config: RefineConfig) -> None:
        self._frames = frames
        self._odometry = VisualOdometry(
            OdometryConfig(device=config.device, flow=config.flow, depth=config.depth)
        )
        self._poses: dict[int, list[tuple[int, np.ndarray]]] = {}
        self._begun = False

    def __iter__(self) -> Iterator[Frame]:
        self._begun = True
        for frame in self._frames:
            try:
                estimate = self._odometry.process(frame)
            except FrameRejected:
                pass
            else:
                if estimate.believed:
                    epoch = self._poses.setdefault(estimate.epoch, [])
                    epoch.append((estimate.stamp_ns, estimate.world_from_camera))
            yield frame

    def path(self) -> OnlinePath:
        """Return the believed poses of the longest part that has one world.

        Frames that nobody has read yet are read now: what was kept of an earlier run needs none.
        """
        if not self._begun:
            for _ in self:
                pass
        longest = max(self._poses.values(), key=len, default=[])
        stamps = np.array([stamp for stamp, _ in longest], np.int64)
        poses = [pose for _, pose in longest]
        order = np.argsort(stamps)
        return OnlinePath(stamps[order], np.reshape(poses, (-1, 4, 4))[order])
