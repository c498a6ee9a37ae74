# SPDX-License-Identifier: Apache-2.0
"""Options of the online estimator."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.settings import group, option


@dataclass(frozen=True)
class KeyframeConfig:
    """When a new key frame is taken."""

    max_flow: float = option(
        0.05,
        'Median flow since the key frame at which a new one is taken; twice that where depth is '
        'measured.',
        unit='fraction of the image width',
        ge=0.005,
        le=0.5,
        dynamic=True,
    )
    min_overlap: float = option(
        0.6,
        'Share of the key frame that must still be matched, else a new one is taken.',
        ge=0.1,
        le=0.95,
        dynamic=True,
    )


@dataclass(frozen=True)
class PoseConfig:
    """The robust weighted fit."""

    points: int = option(
        1500, 'Most correspondences that one fit uses.', unit='points', ge=50, le=20000
    )
    iterations: int = option(10, 'Most reweighted refinement steps.', unit='steps', ge=1, le=100)
    inlier_threshold: float = option(
        2.0,
        'A matched point this close to where pose and depth put it is an inlier.',
        unit='pixels of the working size',
        ge=0.2,
        le=20.0,
        dynamic=True,
    )


@dataclass(frozen=True)
class WindowConfig:
    """The key frames that are optimised together."""

    keyframes: int = option(
        6,
        'Most key frames optimised together; more drift less and cost more.',
        unit='key frames',
        ge=2,
        le=50,
    )
    points: int = option(
        400, 'Most points of one key frame that take part.', unit='points', ge=20, le=5000
    )
    iterations: int = option(4, 'Most steps of the optimisation.', unit='steps', ge=1, le=100)


@dataclass(frozen=True)
class TrackingConfig:
    """The state machine."""

    min_points: int = option(
        50,
        'Fewer matched points with depth, or inliers, than this is LOST.',
        unit='points',
        ge=6,
        le=10000,
    )
    min_inlier_ratio: float = option(
        0.3,
        'A smaller share of inliers than this is LOST.',
        ge=0.05,
        le=0.95,
        dynamic=True,
    )
    degraded_inlier_ratio: float = option(
        0.5,
        'A smaller share of inliers than this is DEGRADED.',
        ge=0.05,
        le=1.0,
        dynamic=True,
    )
    max_gap: float = option(
        0.5,
        'Longest pause between frames over which the velocity is extrapolated; after a longer one '
        'tracking goes on from the last pose if the pictures still match, else it is LOST. '
        'Recordings of single pictures want more.',
        unit='s',
        ge=0.01,
        le=3600.0,
    )
    linear_sigma: float = option(
        0.5,
        'How fast the camera may move unseen; while LOST the position error grows this fast.',
        unit='m/s',
        ge=0.001,
        le=100.0,
    )
    angular_sigma: float = option(
        0.5,
        'How fast the camera may turn unseen; while LOST the rotation error grows this fast.',
        unit='rad/s',
        ge=0.001,
        le=100.0,
    )
    on_time_jump: str = option(
        'new_epoch',
        'What a stamp that goes back in time does: continue from the last pose, or start a new '
        'epoch at the origin.',
        choices=('continue', 'new_epoch'),
    )


@dataclass(frozen=True)
class OdometryConfig:
    """Everything the online estimator can be told."""

    device: str = option(
        'auto',
        'Where tensors live; auto takes CUDA where it is.',
        choices=('auto', 'cpu', 'cuda'),
    )
    threads: int = option(
        1,
        'CPU threads of torch; OpenCV chooses its own number.',
        unit='threads',
        ge=1,
        le=256,
    )
    max_image_pixels: int = option(
        400000,
        'Larger images are reduced to about this size before anything else.',
        unit='pixels',
        ge=4096,
        le=50000000,
    )
    flow: FlowConfig = group(FlowConfig)
    depth: DepthConfig = group(DepthConfig)
    keyframe: KeyframeConfig = group(KeyframeConfig)
    pose: PoseConfig = group(PoseConfig)
    window: WindowConfig = group(WindowConfig)
    tracking: TrackingConfig = group(TrackingConfig)
