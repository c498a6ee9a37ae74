# SPDX-License-Identifier: Apache-2.0
"""The course of a gradient descent: told step by step, saved, and taken up again where it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.checkpoint import Checkpoint, Checkpoints
from flowcam_ros.flowmap.step_report import OnStep, StepReport

_NAME = 'descent'


@runtime_checkable
class Stateful(Protocol):
    """A part of the state of a descent."""

    def state(self) -> dict[str, Tensor]:
        """Return all that changes from step to step."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` told of."""
        ...


Parts = Mapping[str, Stateful]


class Descent:
    """Goes through stages of steps; one that was interrupted goes on where it was saved last.

    The steps that were made then are told again, so that who listens knows the whole course.

    Args:
        checkpoints: where it is saved; None saves nothing.
        on_step: told each step; may raise to end the descent, which is then saved as it is.

    Raises:
        OutputError: the checkpoint is damaged.
    """

    def __init__(self, checkpoints: Checkpoints | None, on_step: OnStep) -> None:
        self._checkpoints = checkpoints
        self._on_step = on_step
        self._reports: list[StepReport] = []
        self._saved = None if checkpoints is None else checkpoints.load(_NAME)

    def stage(self, name: str, parts: Parts) -> Stage:
        """Enter a stage; the parts become what they were if it is the one that was interrupted.

        Args:
            name: of the stage; each stage is entered once, always in the same order.
            parts: all that the steps of the stage change.

        Raises:
            OutputError: the checkpoint is not one of these parts.
        """
        saved = self._saved
        if saved is None:
            return Stage(self, name, parts)
        if saved.facts['stage'] != name:
            return Stage(self, name, parts, skipped=True)
        self._saved = None
        self._restore(saved, parts)
        for values in saved.facts['reports']:
            self._reports.append(StepReport(**values))
            self._on_step(self._reports[-1])
        return Stage(self, name, parts, saved.facts['step'], skipped=saved.facts['done'])

    def tell(self, report: StepReport, parts: Parts) -> None:
        """Tell a step that was made, and save it if it is time to."""
        self._reports.append(report)
        try:
            self._on_step(report)
        except BaseException:
            self.save(report.stage, report.step, parts, done=False)
            raise
        if self._checkpoints is not None and report.step % self._checkpoints.every == 0:
            self.save(report.stage, report.step, parts, done=False)

    def save(self, stage: str, step: int, parts: Parts, *, done: bool) -> None:
        """Save how far the descent is."""
        if self._checkpoints is None:
            return
        tensors = {
            f'{name}/{key}': tensor
            for name, part in parts.items()
            for key, tensor in part.state().items()
        }
        reports = [dataclasses.asdict(report) for report in self._reports]
        facts = {'stage': stage, 'step': step, 'done': done, 'reports': reports}
        self._checkpoints.save(_NAME, tensors, facts)

    def _restore(self, saved: Checkpoint, parts: Parts) -> None:
        assert self._checkpoints is not None
        try:
            for name, part in parts.items():
                begin = f'{name}/'
                own = {
                    key.removeprefix(begin): tensor
                    for key, tensor in saved.tensors.items()
                    if key.startswith(begin)
                }
                part.restore(own)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise OutputError(
                f'{self._checkpoints.file(_NAME)}: does not fit this optimisation; delete it to '
                'optimise from the start'
            ) from error


class Stage:
    """One stage of a descent.

    Attributes:
        begun: whether steps of it were made before.
        skipped: whether all of it was, and its end.

    Args:
        descent: it belongs to.
        name: of the stage.
        parts: all that its steps change.
        step: the last one that was made before; 0 if none was.
        skipped: see above.
    """

    def __init__(
        self, descent: Descent, name: str, parts: Parts, step: int = 0, *, skipped: bool = False
    ) -> None:
        self._descent, self._name, self._parts, self._last = descent, name, parts, step
        self.begun = step > 0
        self.skipped = skipped

    def left(self, steps: int) -> range:
        """Return the steps that are still to be made, of ``steps`` from 1."""
        return range(0) if self.skipped else range(self._last + 1, steps + 1)

    def tell(self, report: StepReport) -> None:
        """Tell a step that was made; raises what the listener does."""
        self._descent.tell(report, self._parts)
        self._last = report.step

    def close(self) -> None:
        """Save that the stage is done, and what it came to."""
        self._descent.save(self._name, self._last, self._parts, done=True)
