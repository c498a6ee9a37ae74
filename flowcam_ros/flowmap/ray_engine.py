# SPDX-License-Identifier: Apache-2.0
"""Windows as tasks of Ray: many at once on this machine, or on a cluster.

A cluster is taken from ``RAY_ADDRESS``; its machines must have this package installed and see the
recording's work folder under the same path. Without one, Ray is started here and ended afterwards.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from flowcam_ros.errors import (
    DivergenceError,
    FlowcamError,
    SequenceError,
    UnavailableError,
)
from flowcam_ros.flowmap.free_memory import share_one_heap
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.flowmap.window_engine import WindowOutcome
from flowcam_ros.flowmap.window_work import WindowJob, work_on
from flowcam_ros.odometry.device import use_threads

# How often the listener may cancel, seconds.
_TICK_S = 0.5
_ADDRESS = 'RAY_ADDRESS'


class RayEngine:
    """Windows side by side; see WindowEngine.

    Args:
        task_bytes: memory that a window takes; Ray starts no more of them than fit.

    Raises:
        UnavailableError: Ray is not installed.
    """

    def __init__(self, task_bytes: int) -> None:
        self._ray = find_ray()
        self._task_bytes = task_bytes

    def run(
        self, jobs: Iterable[WindowJob], count: int, listener: Listener
    ) -> list[WindowOutcome]:
        """See WindowEngine; steps are told when all windows are done, in their order."""
        begun = not self._ray.is_initialized()
        if begun:
            self._begin()
        try:
            answers = self._answers(jobs, count, listener)
        finally:
            if begun:
                self._ray.shutdown()
        outcomes: list[WindowOutcome] = []
        for outcome, steps in answers:
            for step in steps:
                listener.on_step(step)
            if isinstance(outcome, FlowcamError) and not isinstance(
                outcome, (SequenceError, DivergenceError)
            ):
                raise outcome
            outcomes.append(outcome)
        return outcomes

    def _begin(self) -> None:
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # tells nobody of this run
        options: dict[str, Any] = {'log_to_driver': False, 'logging_level': 'error'}
        if not os.environ.get(_ADDRESS):
            # the code that runs here, whatever is installed
            path = os.pathsep.join(os.path.abspath(part) for part in sys.path)
            options['include_dashboard'] = False
            options['runtime_env'] = {'env_vars': {'PYTHONPATH': path}}
        try:
            self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = os.environ.get(_ADDRESS) or 'this machine'
            reason = ' '.join(str(error).split())
            raise UnavailableError(
                f'windows.engine: Ray cannot be started on {where} ({reason})'
            ) from error

    def _answers(
        self, jobs: Iterable[WindowJob], count: int, listener: Listener
    ) -> list[tuple[Any, list[StepReport]]]:
        ray = self._ray
        tasks: list[Any] = []
        waiting: list[Any] = []

        def wait_until_fewer_than(most: int) -> None:
            nonlocal waiting
            while len(waiting) >= most:
                listener.on_note(f'{len(tasks) - len(waiting)} of {count} windows are done')
                waiting = ray.wait(waiting, timeout=_TICK_S)[1]

        try:
            for job in jobs:
                # each waits with all that it needs in the cluster's memory
                wait_until_fewer_than(self._side_by_side(job) + 1)
                tasks.append(self._task(job).remote(job))
                waiting.append(tasks[-1])
            wait_until_fewer_than(1)
            return list(ray.get(tasks))
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UnavailableError(f'a window failed on the Ray cluster: {reason}') from error
        finally:
            for task in waiting:
                ray.cancel(task, force=True)

    def _side_by_side(self, job: WindowJob) -> int:
        """Return how many windows the cluster's processors can work on at a time."""
        return max(1, int(self._ray.cluster_resources().get('CPU', 1)) // job.config.threads)

    def _task(self, job: WindowJob) -> Any:
        resources = self._ray.cluster_resources()
        options: dict[str, Any] = {
            'num_cpus': min(job.config.threads, int(resources.get('CPU', 1))),
            'num_gpus': int(job.config.device != 'cpu' and resources.get('GPU', 0) >= 1),
            'memory': min(self._task_bytes, int(resources.get('memory', 0))),
            'max_retries': 0,
        }
        return self._ray.remote(_work).options(**options)


def _work(job: WindowJob) -> tuple[WindowOutcome | FlowcamError, list[StepReport]]:
    """Work on a window in a process of the cluster."""
    use_threads(1)
    share_one_heap()
    notes = _Notes()
    try:
        return work_on(job, notes), notes.steps
    except FlowcamError as error:
        return error, notes.steps


class _Notes:
    """Remembers the steps, to tell them where the listener is."""

    def __init__(self) -> None:
        self.steps: list[StepReport] = []

    def on_stage(self, name: str) -> None:
        """See Listener."""

    def on_note(self, text: str) -> None:
        """See Listener."""

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        self.steps.append(report)

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""


def find_ray() -> Any:
    """Return the package ray.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module('ray')
    except ImportError:
        raise UnavailableError(
            "windows.engine: 'ray' needs the package ray: pip install 'flowcam_ros[ray]', or "
            "use 'local'"
        ) from None
