# SPDX-License-Identifier: Apache-2.0
"""The protocol behind which every input lives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from flowcam_ros.geometry.frame import Frame
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
