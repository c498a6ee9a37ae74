# SPDX-License-Identifier: Apache-2.0
"""Where key frames get their depth from, measured or from motion, behind one protocol."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.source import DepthSource
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.measured_mapping import MeasuredMapper
from flowcam_ros.odometry.motion_mapping import MotionMapper


@runtime_checkable
class Mapper(Protocol):
    """Gives key frames their depth and lets it learn from the frames that follow.

    Attributes:
        scale_source: 'depth', 'stereo', 'network' or 'none'.
        measures: whether depth is measured, and not found by motion.
        unit_sigma: what is unknown of the unit of length, as a share of it.
        patience: factor on how long key frames last.
    """

    scale_source: str
    measures: bool
    unit_sigma: float
    patience: float

    @property
    def ready(self) -> bool:
        """False while the first map is still being built."""
        ...

    @property
    def seeds(self) -> list[Vector3]:
        """Translations of target_from_source to try while not ready."""
        ...

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Return what is measured of every frame, for the fit.

        Raises:
            FrameRejected: what came with the frame does not fit it.
        """
        ...

    def begin(
        self,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        before: Keyframe | None,
    ) -> DepthEstimate | None:
        """Return the depth of a key frame that no fit joins to ``before``; None: no depth."""
        ...

    def follow(
        self,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        new_from_old: Matrix4,
    ) -> DepthEstimate | None:
        """Return the depth of a key frame whose pose relative to the old one is known."""
        ...

    def followed(self, keyframe: Keyframe, alignment: Alignment) -> PointDepths | None:
        """Return the points to carry to a new key frame that no window joins to this one."""
        ...

    def constrain(self, alignment: Alignment, keyframe: Keyframe, expected: Matrix4) -> Alignment:
        """Return the alignment without what the pictures cannot tell."""
        ...

    def restart(self) -> None:
        """Take note that nothing joins the next key frame to those before."""
        ...

    def learn(self, keyframe: Keyframe, frame: PreparedFrame, alignment: Alignment) -> Keyframe:
        """Return the key frame with its depth improved by one fitted frame."""
        ...


def make_mapper(source: DepthSource | None, flow: FlowEstimator) -> Mapper:
    """Return the mapper for a measuring source, or for none."""
    return MotionMapper(flow) if source is None else MeasuredMapper(source)
