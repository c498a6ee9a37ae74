# SPDX-License-Identifier: Apache-2.0
"""The online estimator: frames in, poses out."""

from __future__ import annotations

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate


class VisualOdometry:
    """FlowCam online; knows nothing of ROS, files or threads."""

    def __init__(self, config: OdometryConfig | None = None) -> None:
        raise NotImplementedError

    def process(self, frame: Frame) -> PoseEstimate:
        """Estimate the pose of one frame; always answers for every accepted frame.

        Raises:
            FrameRejected: the stamp does not increase (a duplicate), the image is too small, or
                the frame lacks what ``depth.source`` requires; the state is unchanged.
        """
        raise NotImplementedError

    def latest_depth(self) -> DepthEstimate | None:
        """Return the newest depth: of the last frame when measured, else of the key frame."""
        raise NotImplementedError

    def reconfigure(self, config: OdometryConfig) -> None:
        """Take over changed options that are declared dynamic."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget everything; the next frame begins a new epoch at the origin."""
        raise NotImplementedError
