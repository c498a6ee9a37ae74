# SPDX-License-Identifier: Apache-2.0
"""What a refinement tells while it works."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flowcam_ros.flowmap.optimize import StepReport


@runtime_checkable
class Listener(Protocol):
    """Is told what goes on; any of its methods may raise to cancel."""

    def on_stage(self, name: str) -> None:
        """A stage begins: reading, matching, optimising, adjusting, depth, placing."""
        ...

    def on_note(self, text: str) -> None:
        """A part of a stage begins."""
        ...

    def on_step(self, report: StepReport) -> None:
        """The optimisation made a step."""
        ...

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """The bundle adjustment made a step; scale of the errors, focal length in pixels."""
        ...
