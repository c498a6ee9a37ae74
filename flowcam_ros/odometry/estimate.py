# SPDX-License-Identifier: Apache-2.0
"""What the odometry says about one frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from jaxtyping import Float


class TrackingState(IntEnum):
    """How far the current pose may be believed."""

    WAITING = 0
    INITIALISING = 1
    TRACKING = 2
    DEGRADED = 3
    LOST = 4
    PAUSED = 5


@dataclass(frozen=True)
class PoseEstimate:
    """The pose of one frame and how it was found.

    The pose covariance is 6x6 in the order x, y, z, rotation about x, y, z: errors of the position
    and of the rotation about the fixed axes of the odometry frame (whose axes are those of the
    first camera of the epoch). The twist is that of the camera, in camera axes, m/s and rad/s,
    with its covariance in the same order.

    Attributes:
        stamp_ns: stamp of the frame.
        state: how far to believe the pose; when LOST it is a prediction with growing covariance.
        reason: short cause when the state is not TRACKING, else ''.
        world_from_camera: (4, 4) float64; world is the camera of the first frame of the epoch.
        covariance: (6, 6) of the pose, accumulated since the epoch began.
        twist: (6,) camera velocity, linear then angular.
        twist_covariance: (6, 6).
        epoch: counts resets of the odometry frame.
        scale_source: 'depth', 'stereo', 'network' or 'none'.
        is_keyframe: whether this frame became the key frame.
        points: number of correspondences the fit used.
        inlier_ratio: share of them the robust fit kept, 0 to 1.
        residual_px: robust standard deviation of the reprojection residual, pixels.
        condition: condition number of the fit's normal matrix (scaled); inf when there was no fit.
        timings_ms: wall time of each step.
    """

    stamp_ns: int
    state: TrackingState
    reason: str
    world_from_camera: Float[np.ndarray, '4 4']
    covariance: Float[np.ndarray, '6 6']
    twist: Float[np.ndarray, ' 6']
    twist_covariance: Float[np.ndarray, '6 6']
    epoch: int = 0
    scale_source: str = 'none'
    is_keyframe: bool = False
    points: int = 0
    inlier_ratio: float = 0.0
    residual_px: float = 0.0
    condition: float = float('inf')
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def believed(self) -> bool:
        """Whether the pose comes from the pictures, so that TF may be sent."""
        return self.state in (TrackingState.TRACKING, TrackingState.DEGRADED)
