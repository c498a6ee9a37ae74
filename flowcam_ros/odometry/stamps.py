# SPDX-License-Identifier: Apache-2.0
"""What the stamps of a stream say: next frame, pause, late frame, or time itself jumped."""

from __future__ import annotations

from enum import Enum

from flowcam_ros.errors import FrameRejected

_PERIODS = 3.0  # a pause longer than this many frame periods is a gap, whatever its length
_SMOOTHING = 0.2
_MIN_JUMP_S = 0.1


class Step(Enum):
    """How a stamp follows the one before."""

    FIRST = 'first'
    NEXT = 'next'
    GAP = 'gap'
    JUMP_BACK = 'jump_back'


class StampWatch:
    """Knows the frame period, so that slow cameras have no gaps and fast ones do.

    Args:
        max_gap: longest pause that is never called a gap, seconds.
    """

    def __init__(self, max_gap: float) -> None:
        self._max_gap = max_gap
        self._last_ns: int | None = None
        self._period: float | None = None
        self._after_gap = False

    def step_to(self, stamp_ns: int) -> Step:
        """Say how a stamp follows the last one taken; takes nothing.

        Raises:
            FrameRejected: the stamp repeats the last one, or is a little older.
        """
        if self._last_ns is None:
            return Step.FIRST
        seconds = (stamp_ns - self._last_ns) * 1e-9
        if stamp_ns == self._last_ns:
            raise FrameRejected('duplicate', f'stamp {stamp_ns} ns came twice; ignored')
        if seconds < 0:
            if -seconds <= max(_MIN_JUMP_S, _PERIODS * (self._period or 0.0)):
                raise FrameRejected(
                    'out_of_order',
                    f'stamp {stamp_ns} ns is older than the last one, {self._last_ns} ns; ignored',
                )
            return Step.JUMP_BACK
        return Step.GAP if seconds > self.bridge(seconds) else Step.NEXT

    def bridge(self, unknown_period: float = 0.0) -> float:
        """Return the longest pause in seconds over which the motion may be extrapolated."""
        return max(self._max_gap, _PERIODS * (self._period or unknown_period))

    def take(self, stamp_ns: int, step: Step) -> None:
        """Take a stamp as the last one; learn the frame period from it if it is no exception.

        After two gaps in a row it is open again: the camera was slowed down.
        """
        if step is Step.NEXT and self._last_ns is not None:
            seconds = (stamp_ns - self._last_ns) * 1e-9
            last = self._period or seconds
            self._period = last * (seconds / last) ** _SMOOTHING
        elif step is Step.GAP and self._after_gap:
            self._period = None
        self._after_gap = step is Step.GAP
        self._last_ns = stamp_ns
