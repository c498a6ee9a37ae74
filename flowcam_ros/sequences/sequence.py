# SPDX-License-Identifier: Apache-2.0
"""The protocol behind which every input lives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.trajectory import Trajectory


@runtime_checkable
class Sequence(Protocol):
    """A recording that can be iterated any number of times, one frame in memory at a time.

    Attributes:
        name: short name for titles and folders.
        losses: what was unreadable so far, as sentences with counts; grows while iterating.
    """

    name: str
    losses: list[str]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order of time."""
        ...

    def expected_frames(self) -> int | None:
        """Return how many frames to expect, for progress bars; None if unknown."""
        ...

    def ground_truth(self) -> Trajectory | None:
        """Return the true camera path if the recording has it."""
        ...


@dataclass(frozen=True)
class BodyPath:
    """What the recording's own odometry says of the robot.

    Attributes:
        frame: its world-fixed frame, such as ``odom``; REP-103 axes.
        path: pose of the robot's body in it, metres.
        body_from_camera: the optical frame of the camera on the body; None if it is not known.
    """

    frame: str
    path: Trajectory
    body_from_camera: Matrix4 | None


@runtime_checkable
class WithOdometry(Protocol):
    """A recording that may hold the robot's odometry."""

    def odometry(self) -> BodyPath | None:
        """Return it; None if it is not there."""
        ...
