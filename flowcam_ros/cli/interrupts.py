# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while an optimisation runs: it ends after the step, when all of it can be saved."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from flowcam_ros.flowmap.progress import Listener

if TYPE_CHECKING:
    from flowcam_ros.flowmap.preview import Preview
    from flowcam_ros.flowmap.step_report import StepReport

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A second signal this soon after one means the same; a later one does not wait any longer.
_TWICE_S = 1.0
_SAID = b'flowcam: stopping after this step; a second Ctrl-C does not wait\n'


@contextlib.contextmanager
def interrupts_after_steps(listener: Listener) -> Iterator[Listener]:
    """Give a listener that passes everything on, and a signal on when a step is done.

    Outside the optimisation signals act at once, as they did before.
    """
    patient = _Patient(listener)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, patient.handler(handler))
    try:
        yield patient
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)


Handler = Callable[[int, 'FrameType | None'], object]


class _Patient:
    """Passes everything on, and raises at the next opportunity after a signal came."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._stage = ''
        self._asked: Callable[[], object] | None = None
        self._at = 0.0

    def handler(self, before: Handler) -> Handler:
        """Return what takes a signal in place of another handler."""

        def take(number: int, frame: FrameType | None) -> None:
            if self._stage != 'optimising':
                before(number, frame)
            elif self._asked is None:
                self._asked, self._at = lambda: before(number, None), time.monotonic()
                os.write(2, _SAID)  # a print must not break into another one
            elif time.monotonic() - self._at >= _TWICE_S:
                before(number, frame)

        return take

    def on_stage(self, name: str) -> None:
        """See Listener."""
        self._yield()
        self._stage = name
        self._listener.on_stage(name)

    def on_note(self, text: str) -> None:
        """See Listener."""
        self._yield()
        self._listener.on_note(text)

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""
        self._yield()
        self._listener.on_frame(number, expected)

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        self._listener.on_step(report)
        self._yield()

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""
        self._yield()
        self._listener.on_polish(part, step, scale, focal)

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""
        self._yield()
        self._listener.on_reconstruction(preview)

    def _yield(self) -> None:
        if self._asked is not None:
            asked, self._asked = self._asked, None
            asked()
