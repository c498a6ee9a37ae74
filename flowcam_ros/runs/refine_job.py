# SPDX-License-Identifier: Apache-2.0
"""A refinement in a thread of its own, to be watched and cancelled; knows nothing of ROS."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from flowcam_ros.errors import FlowcamError
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.runs.refine import RefineOutcome, refine_recording
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.sequences.options import SequenceOptions

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefineRequest:
    """What is to be refined: arguments of :func:`refine_recording`."""

    source: str
    output: Path
    options: SequenceOptions
    config: RefineRunConfig


@dataclass(frozen=True)
class RefineProgress:
    """How far a refinement is.

    Attributes:
        stage: see Listener.on_stage; '' before the first.
        detail: the part of the stage that goes on.
        step: of ``steps`` within the stage; both 0 where they are not known.
        steps: how many there are at most.
        loss: of the last step of the optimisation; NaN before the first.
        focal_px: focal length so far, pixels of the tracking pictures; NaN while unknown.
        elapsed_s: since the start.
    """

    stage: str = ''
    detail: str = ''
    step: int = 0
    steps: int = 0
    loss: float = math.nan
    focal_px: float = math.nan
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class RefineEnd:
    """How a refinement ended: with an outcome, an error, or, with neither, cancelled."""

    request: RefineRequest
    outcome: RefineOutcome | None = None
    error: FlowcamError | None = None


class _Cancelled(Exception):
    """Unwinds the refinement; what it has written so far is removed on the way."""


class RefineJob:
    """One refinement; a Listener of itself.

    Args:
        request: what to refine.
        on_preview: takes what is known so far; called in the thread of the job.
        on_end: told once how it ended; called in the thread of the job. Must not raise.
    """

    def __init__(
        self,
        request: RefineRequest,
        on_preview: Callable[[Preview], None],
        on_end: Callable[[RefineEnd], None],
    ) -> None:
        self._request = request
        self._on_preview, self._on_end = on_preview, on_end
        self._cancelled = threading.Event()
        self._began = time.monotonic()
        self._now = RefineProgress()
        # A daemon, because a thread that hangs in a library must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name='refine', daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._began = time.monotonic()
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next opportunity, which comes within seconds, and leave nothing behind."""
        self._cancelled.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came within ``timeout`` s."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def progress(self) -> RefineProgress:
        """Return how far it is; may be called from any thread."""
        return replace(self._now, elapsed_s=time.monotonic() - self._began)

    def on_stage(self, name: str) -> None:
        """See Listener."""
        now = self._now
        self._note(RefineProgress(name, loss=now.loss, focal_px=now.focal_px))

    def on_note(self, text: str) -> None:
        """See Listener."""
        self._note(replace(self._now, detail=text))

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""
        self._note(replace(self._now, step=number, steps=max(expected or 0, number)))

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        self._note(
            replace(
                self._now,
                detail=report.stage,
                step=report.step,
                steps=report.steps,
                loss=report.loss,
                focal_px=report.focal,
            )
        )

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""
        self._note(replace(self._now, detail=part, step=step, steps=0, focal_px=focal))

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""
        self._note(self._now)
        self._on_preview(preview)

    def _note(self, progress: RefineProgress) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        self._now = progress

    def _run(self) -> None:
        self._on_end(self._worked())

    def _worked(self) -> RefineEnd:
        request = self._request
        try:
            outcome = refine_recording(
                request.source, request.output, request.options, request.config, self
            )
        except _Cancelled:
            return RefineEnd(request)
        except FlowcamError as error:
            return RefineEnd(request, error=error)
        except Exception as error:  # without an answer the caller would wait for ever
            _LOG.debug('the refinement failed', exc_info=error)
            text = ' '.join(f'{type(error).__name__}: {error}'.split())
            return RefineEnd(request, error=FlowcamError(text))
        return RefineEnd(request, outcome)
