# SPDX-License-Identifier: Apache-2.0
"""Shows people how far a refinement is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowcam_ros.flowmap.progress import Listener

if TYPE_CHECKING:
    from rich.progress import Progress

    from flowcam_ros.flowmap.preview import Preview
    from flowcam_ros.flowmap.step_report import StepReport


# Steps that follow each other faster were made before an interrupt and are only told again: the
# time that is left does not follow from their pace.
_BURST_S = 0.005


# What is noted in this stage is how the work was planned, and is to stay in sight.
_PLANNING = 'reading'


class StageLines:
    """One line a stage, for logs, and one on how the work was planned."""

    _stage = ''

    def on_stage(self, name: str) -> None:
        """See Listener."""
        self._stage = name
        print(f'flowcam: {name}', file=sys.stderr)

    def on_note(self, text: str) -> None:
        """See Listener."""
        if self._stage == _PLANNING:
            print(f'flowcam: {text}', file=sys.stderr)

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""

    def on_step(self, report: StepReport) -> None:
        """See Listener."""

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""


class StageBar:
    """A bar with loss, focal length and time left.

    Args:
        bar: to draw on.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task('', total=None)
        self._stage = ''
        self._stepped = 0.0

    def on_stage(self, name: str) -> None:
        """See Listener."""
        self._stage = name
        self._bar.reset(self._task, total=None, description=name)

    def on_note(self, text: str) -> None:
        """See Listener."""
        if self._stage == _PLANNING:
            self._bar.console.print(f'flowcam: {text}', highlight=False)
        self._bar.update(self._task, description=f'{self._stage}: {text}')

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""
        self._bar.update(self._task, total=expected, completed=number)

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        now, before = time.monotonic(), self._stepped
        if report.step == 1 or now - before < _BURST_S:
            self._bar.reset(self._task, total=report.steps, completed=report.step)
        self._stepped = now
        focal = '' if report.focal != report.focal else f', focal {report.focal:.1f} px'
        self._bar.update(
            self._task,
            completed=report.step,
            description=f'{self._stage}: {report.stage} loss {report.loss:.4f}{focal}',
        )

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""
        self._bar.update(
            self._task,
            description=f'{self._stage}: {part}, step {step}, error {scale:.2f} sigma, '
            f'focal {focal:.1f} px',
        )

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""


@contextlib.contextmanager
def refine_progress() -> Iterator[Listener]:
    """Give a listener: a bar where stderr is a terminal, else a line a stage."""
    if not sys.stderr.isatty():
        yield StageLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield StageBar(bar)
