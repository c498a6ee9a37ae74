# SPDX-License-Identifier: Apache-2.0
"""What every system of the benchmark does: take a frame, answer with a pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from flowcam_ros.geometry.frame import Frame

Matrix4 = Float[np.ndarray, '4 4']


@dataclass(frozen=True)
class Answer:
    """The pose of one frame.

    Attributes:
        world_from_camera: (4, 4); world is the camera of the first frame of the
            epoch. Metres with depth, any
            unit without.
        believed: whether it comes from the pictures; else it repeats the last motion.
        state: the system's own word for how it is doing.
        covariance: (6, 6) of the pose, as in ``geometry/covariance.py``; None from a system that
            does not tell.
        twist: (6,) velocity of the camera, as in ``PoseEstimate``; None likewise.
        twist_covariance: (6, 6); None likewise.
        epoch: counts how often the world was begun anew; poses of two epochs have nothing to do
            with each other.
    """

    world_from_camera: Matrix4
    believed: bool
    state: str = ''
    covariance: Float[np.ndarray, '6 6'] | None = None
    twist: Float[np.ndarray, ' 6'] | None = None
    twist_covariance: Float[np.ndarray, '6 6'] | None = None
    epoch: int = 0


@runtime_checkable
class System(Protocol):
    """A visual odometry."""

    def process(self, frame: Frame) -> Answer:
        """Return the pose of the next frame; this call is what is timed.

        Raises:
            FrameRejected: the frame is unusable.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        ...


class Chain:
    """A path made of motions from frame to frame; a frame that failed repeats the last motion."""

    def __init__(self) -> None:
        self._pose = np.eye(4)
        self._motion = np.eye(4)

    def first(self) -> Answer:
        """Answer the first frame."""
        return Answer(self._pose, believed=True)

    def advance(self, previous_from_current: Matrix4 | None) -> Answer:
        """Go on by a motion, or by the last one where there is none."""
        believed = previous_from_current is not None
        if previous_from_current is not None:
            self._motion = previous_from_current
        self._pose = self._pose @ self._motion
        return Answer(self._pose, believed)

    def move_to(self, pose: Matrix4) -> Answer:
        """Go on to a pose."""
        self._motion = np.linalg.inv(self._pose) @ pose
        self._pose = pose
        return Answer(pose, believed=True)
