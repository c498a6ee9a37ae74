# SPDX-License-Identifier: Apache-2.0
"""Depth of key frames from a sensor or a stereo pair."""

from __future__ import annotations

import dataclasses

import numpy as np

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.source import DepthSource
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths


class MeasuredMapper:
    """Depth measured anew for each key frame."""

    measures = True
    unit_sigma = 0.0
    # its depth does not grow old: fewer key frames, and less is lost from one to the next
    patience = 1.5

    def __init__(self, source: DepthSource) -> None:
        self._source = source
        self.scale_source = source.scale_source

    @property
    def ready(self) -> bool:
        """See Mapper; the first measurement is a map."""
        return True

    @property
    def seeds(self) -> list[Vector3]:
        """See Mapper; none are needed."""
        return []

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """See Mapper."""
        self._source.check(frame)
        return self._measured(frame) if self._source.every_frame else None

    def begin(
        self,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        before: Keyframe | None,
    ) -> DepthEstimate | None:
        """See Mapper."""
        return measured if self._source.every_frame else self._measured(frame)

    def _measured(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Measure a frame where its pixels show the world."""
        depth = self._source.measure(frame)
        if depth is None or frame.usable is None:
            return depth
        return dataclasses.replace(
            depth,
            inverse_depth=np.where(frame.usable, depth.inverse_depth, np.float32(0.0)),
            variance=np.where(frame.usable, depth.variance, np.float32(np.inf)),
        )

    def follow(
        self,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        new_from_old: Matrix4,
    ) -> DepthEstimate | None:
        """See Mapper."""
        return self.begin(frame, measured, keyframe)

    def followed(self, keyframe: Keyframe, alignment: Alignment) -> PointDepths | None:
        """See Mapper; a new measurement is as good."""
        return None

    def constrain(self, alignment: Alignment, keyframe: Keyframe, expected: Matrix4) -> Alignment:
        """See Mapper; measured depth leaves nothing open."""
        return alignment

    def restart(self) -> None:
        """See Mapper; measured depth needs nothing of the past."""

    def learn(self, keyframe: Keyframe, frame: PreparedFrame, alignment: Alignment) -> Keyframe:
        """See Mapper; measured depth stays as it is."""
        return keyframe
