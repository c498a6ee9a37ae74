# SPDX-License-Identifier: Apache-2.0
"""What a refinement tells while it works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.geometry.frame import Frame


@runtime_checkable
class Listener(Protocol):
    """Is told what goes on; any of its methods may raise to cancel."""

    def on_stage(self, name: str) -> None:
        """A stage begins: reading, matching, optimising, adjusting, depth, placing, writing."""
        ...

    def on_note(self, text: str) -> None:
        """A part of a stage begins."""
        ...

    def on_frame(self, number: int, expected: int | None) -> None:
        """A frame of the recording was read, the ``number``-th from 1; of how many, if known."""
        ...

    def on_step(self, report: StepReport) -> None:
        """The optimisation made a step."""
        ...

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """The bundle adjustment made a step; scale of the errors, focal length in pixels."""
        ...

    def on_reconstruction(self, preview: Preview) -> None:
        """After the optimisation, the adjustment and the placing: what is known so far."""
        ...


class ToldFrames:
    """The frames of a recording; a listener is told of each, so that it can also cancel there.

    Args:
        frames: can be iterated any number of times.
        listener: is told.
        expected: number of frames, if known.
    """

    def __init__(self, frames: Iterable[Frame], listener: Listener, expected: int | None) -> None:
        self._frames = frames
        self._listener = listener
        self._expected = expected

    def __iter__(self) -> Iterator[Frame]:
        for number, frame in enumerate(self._frames, 1):
            self._listener.on_frame(number, self._expected)
            yield frame
