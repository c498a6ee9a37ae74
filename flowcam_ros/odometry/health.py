# SPDX-License-Identifier: Apache-2.0
"""Whether to believe a fit, and the reason in a word."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.odometry.keyframe import Keyframe

_MIN_MATCHED_SHARE = 0.2
_DEGRADED_MATCHED_SHARE = 0.35
_BAD_CONDITION = 1e6


@dataclass(frozen=True)
class Verdict:
    """State of one frame, and why it is not TRACKING."""

    state: TrackingState
    reason: str = ''

    @property
    def believed(self) -> bool:
        """Whether the pose may be used."""
        return self.state is not TrackingState.LOST


def judge(alignment: Alignment, keyframe: Keyframe, config: OdometryConfig) -> Verdict:
    """Return the verdict on a frame's fit to its key frame."""
    tracking = config.tracking
    if len(keyframe) < tracking.min_points:
        lacks_depth = keyframe.depth_share < config.depth.min_valid
        return Verdict(TrackingState.LOST, 'depth_invalid' if lacks_depth else 'texture')
    if alignment.followed < tracking.min_points:
        return Verdict(TrackingState.LOST, 'overlap')
    if alignment.matched < tracking.min_points or alignment.covariance is None:
        return Verdict(TrackingState.LOST, 'flow')
    share = alignment.matched / alignment.followed
    if share < _MIN_MATCHED_SHARE:
        return Verdict(TrackingState.LOST, 'flow')
    if alignment.inlier_ratio < tracking.min_inlier_ratio:
        return Verdict(TrackingState.LOST, 'outliers')
    if alignment.inlier_ratio < tracking.degraded_inlier_ratio:
        return Verdict(TrackingState.DEGRADED, 'outliers')
    if share < _DEGRADED_MATCHED_SHARE:
        return Verdict(TrackingState.DEGRADED, 'flow')
    if alignment.condition > _BAD_CONDITION:
        return Verdict(TrackingState.DEGRADED, 'geometry')
    return Verdict(TrackingState.TRACKING)
