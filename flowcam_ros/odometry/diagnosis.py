# SPDX-License-Identifier: Apache-2.0
"""What the estimator saw in one frame, for people who want to look."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.estimate import PoseEstimate
from flowcam_ros.odometry.keyframe import Keyframe


@dataclass(frozen=True)
class Diagnosis:
    """The inner workings of one processed frame; nothing is copied, so treat it as read-only.

    Attributes:
        frame: the frame as it was worked on.
        estimate: what was answered.
        keyframe: what the frame was fitted to; None where there was nothing to fit to.
        alignment: the fit, believed or not; None without ``keyframe``.
        depth: the newest depth: the frame's own where it is measured, else the key frame's.
    """

    frame: PreparedFrame
    estimate: PoseEstimate
    keyframe: Keyframe | None
    alignment: Alignment | None
    depth: DepthEstimate | None
