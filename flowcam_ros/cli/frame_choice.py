# SPDX-License-Identifier: Apache-2.0
"""Which frames of a recording to draw: ``10,40-60,every=5,bad``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowcam_ros.errors import UsageError

_PART = re.compile(r'(?P<first>\d+)(-(?P<last>\d+))?|every=(?P<every>\d+)|(?P<word>all|bad)')


@dataclass(frozen=True)
class FrameChoice:
    """Frames chosen by number (the first is 0), by step, or because they went badly.

    Attributes:
        ranges: first and last number of each range.
        steps: each n-th frame, for these n.
        bad: also frames that are not TRACKING.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    steps: tuple[int, ...] = ()
    bad: bool = False

    def takes(self, number: int, *, tracked: bool) -> bool:
        """Return whether to draw a frame."""
        return (
            (self.bad and not tracked)
            or any(first <= number <= last for first, last in self.ranges)
            or any(number % step == 0 for step in self.steps)
        )


def parse_frames(text: str) -> FrameChoice:
    """Read a choice such as ``all``, ``10,40-60``, ``every=5`` or ``every=20,bad``.

    Raises:
        UsageError: it is none.
    """
    ranges, steps, bad = [], [], False
    for part in text.split(','):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise _wrong(text, part)
        if found['word'] == 'bad':
            bad = True
        elif found['word'] == 'all':
            steps.append(1)
        elif found['every']:
            steps.append(int(found['every']))
        else:
            first = int(found['first'])
            ranges.append((first, int(found['last'] or first)))
    if 0 in steps or any(last < first for first, last in ranges):
        raise _wrong(text, text)
    return FrameChoice(tuple(ranges), tuple(steps), bad)


def _wrong(text: str, part: str) -> UsageError:
    return UsageError(
        f'--debug-frames {text}: {part!r} is no choice of frames; write numbers and ranges '
        '(10,40-60), every=5, bad (all that are not tracked) or all, joined by commas'
    )
