# SPDX-License-Identifier: Apache-2.0
"""Takes note of a refinement while it works: losses, focal length, time and memory."""

from __future__ import annotations

import time

import numpy as np

from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.report_data import FocalCurve, LossCurve, StageCost
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.memory import peak_memory_mb


class RefineLog:
    """Passes everything on to another listener and remembers what a report shows.

    Args:
        listener: is told first; may raise to cancel.
        resumed: whether a part of the work was done before, of which no times are known.
    """

    def __init__(self, listener: Listener, resumed: bool = False) -> None:
        self._listener = listener
        self.resumed = resumed
        self._began = time.perf_counter()
        self._stage: str | None = None
        self._steps: list[StepReport] = []
        self.stages: list[StageCost] = []

    def on_stage(self, name: str) -> None:
        """See Listener."""
        self.close_stage()
        self._stage, self._began = name, time.perf_counter()
        self._listener.on_stage(name)

    def on_note(self, text: str) -> None:
        """See Listener."""
        self._listener.on_note(text)

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""
        self._listener.on_frame(number, expected)

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        self._steps.append(report)
        self._listener.on_step(report)

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""
        self._listener.on_polish(part, step, scale, focal)

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""
        self._listener.on_reconstruction(preview)

    def close_stage(self) -> None:
        """End the stage that is going on."""
        if self._stage is not None:
            seconds = time.perf_counter() - self._began
            self.stages.append(StageCost(self._stage, seconds, peak_memory_mb()))
            self._stage = None

    def loss_curves(self) -> tuple[LossCurve, ...]:
        """Return the losses of each stage of the optimisation."""
        curves = []
        for stage in dict.fromkeys(report.stage for report in self._steps):
            at = [n for n, report in enumerate(self._steps) if report.stage == stage]
            own = [self._steps[n] for n in at]
            curves.append(
                LossCurve(
                    _TITLES.get(stage, stage),
                    np.array(at, np.int64) + 1,
                    np.array([_part(r, 'flow', 'match') for r in own]),
                    np.array([_part(r, 'track') for r in own]),
                    np.array([r.loss for r in own]),
                )
            )
        return tuple(curves)

    def focal_curve(self, scale: float) -> FocalCurve | None:
        """Return the focal length over the steps, times ``scale``; None if it was never told."""
        at = [n for n, report in enumerate(self._steps) if np.isfinite(report.focal)]
        if not at:
            return None
        pixels = np.array([self._steps[n].focal for n in at]) * scale
        return FocalCurve(np.array(at, np.int64) + 1, pixels)

    def late_gain(self) -> float | None:
        """Return which share of its loss the last tenth of the last descent still took away.

        The windows of a long recording are descents of their own; the last one stands for all.
        """
        if not self._steps:
            return None
        last = self._steps[-1].stage
        began = max(n for n, r in enumerate(self._steps) if r.stage == last and r.step == 1)
        total = np.array([report.loss for report in self._steps[began:]])
        if len(total) < 40:
            return None
        tenth = len(total) // 10
        before, after = np.mean(total[-2 * tenth : -tenth]), np.mean(total[-tenth:])
        return max(0.0, float(1.0 - after / before)) if before > 0 else None


_TITLES = {
    'prior': 'fit depth to the given network',
    'depth': 'fit depth to matches',
    'flow': 'optimise',
}


def _part(report: StepReport, *names: str) -> float:
    found = [report.parts[name] for name in names if name in report.parts]
    return float(sum(found)) if found else float('nan')
