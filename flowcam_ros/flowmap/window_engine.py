# SPDX-License-Identifier: Apache-2.0
"""Who works on the windows of a recording: this process, one after the other, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from flowcam_ros.errors import DivergenceError, SequenceError
from flowcam_ros.flowmap.free_memory import give_memory_back
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.window_work import WindowJob, WindowResult, work_on

# A window may fail by itself, with a reason; the others go on.
WindowOutcome = WindowResult | SequenceError | DivergenceError


@runtime_checkable
class WindowEngine(Protocol):
    """Works on windows."""

    def run(
        self, jobs: Iterable[WindowJob], count: int, listener: Listener
    ) -> list[WindowOutcome]:
        """Return what each window came to, in their order.

        Args:
            jobs: made one at a time, when they are asked for.
            count: how many.
            listener: told what goes on; may raise to cancel.
        """
        ...


class LocalEngine:
    """One window after the other, in this process."""

    def run(
        self, jobs: Iterable[WindowJob], count: int, listener: Listener
    ) -> list[WindowOutcome]:
        """See WindowEngine."""
        done: list[WindowOutcome] = []
        for number, job in enumerate(jobs, 1):
            listener.on_note(f'window {number} of {count}')
            try:
                done.append(work_on(job, listener))
            except (SequenceError, DivergenceError) as error:
                done.append(error)
            give_memory_back()
        return done


def _ray_engine(window_bytes: float) -> WindowEngine:
    from flowcam_ros.flowmap.ray_engine import RayEngine

    return RayEngine(int(window_bytes))


# Made with the memory that the work on one window takes, bytes.
ENGINES: dict[str, Callable[[float], WindowEngine]] = {
    'local': lambda _: LocalEngine(),
    'ray': _ray_engine,
}
