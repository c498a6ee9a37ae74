# SPDX-License-Identifier: Apache-2.0
"""The one protocol behind which every measuring depth source lives."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.prepare import PreparedFrame


@runtime_checkable
class DepthSource(Protocol):
    """Something that measures the depth of single frames.

    Attributes:
        scale_source: what makes its depths metric: 'depth', 'stereo' or 'network'.
        every_frame: whether measuring is cheap enough for frames that are not key frames.
    """

    scale_source: str
    every_frame: bool

    def check(self, frame: PreparedFrame) -> None:
        """Make sure that the frame can be measured, without doing it.

        Raises:
            FrameRejected: what came with the frame does not fit it.
        """
        ...

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Return the depth of a frame; None where the frame lacks what the source needs."""
        ...
