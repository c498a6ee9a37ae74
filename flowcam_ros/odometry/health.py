# SPDX-License-Identifier: Apache-2.0
"""Whether to believe a fit, and the reason in a word."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.odometry.keyframe import Keyframe

_MIN_MATCHED_SHARE = 0.2
_DEGRADED_MATCHED_SHARE = 0.35
_BAD_CONDITION = 3e3


@dataclass(frozen=True)
class Verdict:
    """State of one frame, and why it is not TRACKING."""

    state: TrackingState
    reason: str = ''

    @property
    def believed(self) -> bool:
        """Whether the pose may be used."""
        return self.state is not TrackingState.LOST


def judge(
    alignment: Alignment, followable: int, measured: DepthEstimate | None, config: OdometryConfig
) -> Verdict:
    """Return the verdict on a frame's fit to its key frame.

    Args:
        alignment: the fit.
        followable: number of points that the key frame has.
        measured: depth measured with the frame, if depth is measured with every frame.
        config: thresholds.
    """
    tracking = config.tracking
    if followable and alignment.followed < max(0.1 * followable, tracking.min_points):
        return Verdict(TrackingState.LOST, 'overlap')
    # where the surfaces agree all over, depth alone holds the pose
    held = alignment.agrees and alignment.condition <= _BAD_CONDITION
    otherwise = TrackingState.DEGRADED if held else TrackingState.LOST
    if alignment.matched < tracking.min_points or alignment.covariance is None:
        return Verdict(otherwise, 'flow')
    share = alignment.matched / alignment.followed
    if share < _MIN_MATCHED_SHARE:
        return Verdict(otherwise, 'flow')
    if alignment.inlier_ratio < tracking.min_inlier_ratio:
        return Verdict(otherwise, 'outliers')
    doubtful = alignment.inlier_ratio < tracking.degraded_inlier_ratio
    if alignment.inliers < (2 if doubtful else 1) * tracking.min_points:
        return Verdict(otherwise, 'outliers')
    if doubtful:
        return Verdict(TrackingState.DEGRADED, 'outliers')
    if share < _DEGRADED_MATCHED_SHARE:
        return Verdict(TrackingState.DEGRADED, 'flow')
    if alignment.condition > _BAD_CONDITION:
        return Verdict(TrackingState.DEGRADED, 'geometry')
    if measured is not None and depth_share(measured) < config.depth.min_valid:
        return Verdict(TrackingState.DEGRADED, 'depth_invalid')
    return Verdict(TrackingState.TRACKING)


def depth_share(depth: DepthEstimate) -> float:
    """Return the share of the pixels that have depth."""
    return cv2.countNonZero(depth.inverse_depth) / depth.inverse_depth.size


def lack(depth: DepthEstimate | None, keyframe: Keyframe | None, config: OdometryConfig) -> str:
    """Return what keeps a frame from being a key frame, '' if nothing does."""
    if depth is None or keyframe is None:
        return 'depth_missing'
    if depth_share(depth) < config.depth.min_valid:
        return 'depth_invalid'
    return 'texture' if len(keyframe) < config.tracking.min_points else ''
