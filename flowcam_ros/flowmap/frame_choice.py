# SPDX-License-Identifier: Apache-2.0
"""Chooses the frames of a recording that take part in the optimisation, in one pass over it."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from flowcam_ros.flowmap.frame_chooser import Chosen, FrameChooser
from flowcam_ros.flowmap.frame_config import FrameChoiceConfig
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.geometry.frame import Frame

# So many times the allowed frames are kept at first, to choose evenly among them at the end.
_HEADROOM = 2


@runtime_checkable
class FrameKeeper(Protocol):
    """Where chosen frames go; see frame_writer.py."""

    def keep(self, record: FrameRecord, frame: Frame) -> None:
        """Take a chosen frame."""
        ...

    def drop(self, number: int) -> None:
        """Forget the frame of a number that was kept before."""
        ...


class FrameChoice:
    """The choice as a part of a pass over a recording that serves other ends, too.

    Every chosen frame is kept at once, and some are dropped again when there are too many:
    nothing is read twice, and memory does not grow but for the records.
    """

    def __init__(self, keeper: FrameKeeper, config: FrameChoiceConfig) -> None:
        self._keeper = keeper
        self._config = config
        self._chooser = FrameChooser(config)
        self._kept: list[FrameRecord] = []

    def add(self, frame: Frame) -> None:
        """Take the next frame of the recording."""
        self._keep(self._chooser.add(frame))
        if len(self._kept) > _HEADROOM * self._config.max_frames:
            self._thin()
            way = self._kept[-1].flow - self._kept[0].flow
            self._chooser.widen(max(way / self._config.max_frames, self._config.step))

    def finish(self) -> list[FrameRecord]:
        """Return the records of all frames, after the last one was added."""
        self._keep(self._chooser.finish())
        self._thin()
        return self._chooser.records

    def _keep(self, chosen: list[Chosen]) -> None:
        for one in chosen:
            self._keeper.keep(one.record, one.frame)
            self._kept.append(one.record)

    def _thin(self) -> None:
        keep = set(evenly([record.flow for record in self._kept], self._config.max_frames))
        for index, record in enumerate(self._kept):
            if index not in keep:
                self._keeper.drop(record.number)
                between = dataclasses.replace(record, fate=Fate.BETWEEN)
                self._chooser.records[record.number] = between
        self._kept = [record for index, record in enumerate(self._kept) if index in keep]


def choose_frames(
    frames: Iterable[Frame], keeper: FrameKeeper, config: FrameChoiceConfig
) -> list[FrameRecord]:
    """Choose frames by the flow between them; return the records of all frames.

    Raises:
        OutputError: the keeper cannot keep them.
    """
    choice = FrameChoice(keeper, config)
    for frame in frames:
        choice.add(frame)
    return choice.finish()


def evenly(positions: list[float], count: int) -> list[int]:
    """Return the indices of ``count`` of the increasing positions that lie about evenly.

    The first and the last always stay; of the others the one goes whose going leaves the smallest
    gap, until few enough are left. All indices where there are no more than ``count`` (at least
    two).
    """
    size, count = len(positions), max(count, 2)
    before, after = list(range(-1, size - 1)), list(range(1, size + 1))
    gone = [False] * size
    gaps = [(positions[k + 1] - positions[k - 1], k) for k in range(1, size - 1)]
    heapq.heapify(gaps)
    left = size
    while left > count:
        gap, index = heapq.heappop(gaps)
        if gone[index] or gap < positions[after[index]] - positions[before[index]]:
            continue  # of before a neighbour went
        gone[index] = True
        left -= 1
        after[before[index]], before[after[index]] = after[index], before[index]
        for near in (before[index], after[index]):
            if 0 < near < size - 1:
                heapq.heappush(gaps, (positions[after[near]] - positions[before[near]], near))
    return [index for index in range(size) if not gone[index]]
