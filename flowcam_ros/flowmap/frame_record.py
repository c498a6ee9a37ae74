# SPDX-License-Identifier: Apache-2.0
"""What is known of every frame of a recording after the frames were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fate(str, Enum):
    """What became of a frame."""

    CHOSEN = 'chosen'
    BETWEEN = 'between'  # nothing wrong with it: others are near enough
    DUPLICATE = 'duplicate'  # nothing moved since the one before
    BLURRED = 'blurred'  # less sharp than its neighbours
    FEATURELESS = 'featureless'  # dark, white, or covered: nothing to follow
    REJECTED = 'rejected'  # unusable; ``FrameRecord.problem`` says why
    UNORDERED = 'unordered'  # no later than one before it: it can have no pose of its own


@dataclass(frozen=True)
class FrameRecord:
    """One frame of the recording, in its order.

    Attributes:
        number: counts the frames that could be read, from 0.
        stamp_ns: of the frame.
        name: of its picture; no two alike.
        fate: whether it was chosen, and why not.
        flow: how far the picture moved from the first frame to this one, summed up over its
            median motions, in parts of the picture's width.
        sharpness: comparable with that of its neighbours; 0 where unknown.
        problem: why it was rejected or is unordered, a sentence; else ''.
    """

    number: int
    stamp_ns: int
    name: str
    fate: Fate
    flow: float
    sharpness: float
    problem: str = ''


class FrameNames:
    """Gives each frame a name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, number: int, name: str) -> str:
        """Return the name of the frame's file, or one by its number where it has none.

        Files of the same name, from several folders, are told apart by their number.
        """
        unique = name or f'frame_{number:06d}.png'
        while unique in self._taken:
            unique = f'frame_{number:06d}_{unique}'
        self._taken.add(unique)
        return unique
