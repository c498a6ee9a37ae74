# SPDX-License-Identifier: Apache-2.0
"""From one key frame to the next."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.sharpness import sharpness
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import KeyframeConfig, OdometryConfig
from flowcam_ros.odometry.health import lack
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths, make_keyframe
from flowcam_ros.odometry.map_scale import UNKNOWN, MapScale, lost_scale
from flowcam_ros.odometry.mapping import Mapper
from flowcam_ros.odometry.window import Joined, SlidingWindow

# A frame less sharp than this share of its key frame waits for a better one, until the picture
# has changed twice as much as it should.
_SHARP = 0.7
_LONGEST_WAIT = 2.0


def is_due(
    keyframe: Keyframe,
    frame: PreparedFrame,
    alignment: Alignment,
    patience: float,
    config: KeyframeConfig,
) -> bool:
    """Whether the picture has changed so much that the next frames want a newer key frame.

    Args:
        keyframe: what the frame was fitted to.
        frame: which would be the next key frame.
        alignment: its fit.
        patience: factor on how much the picture may change.
        config: how much that is.
    """
    limit = patience * config.max_flow * keyframe.frame.camera.width
    overlap = alignment.matched / max(len(keyframe), 1)
    change = max(alignment.median_flow_px / limit, config.min_overlap / max(overlap, 1e-6))
    if change <= 1.0:
        return False
    if change > _LONGEST_WAIT:
        return True
    return sharpness(frame.grey) > _SHARP * sharpness(keyframe.frame.grey)


@dataclass(frozen=True)
class Succession:
    """What becomes of a frame that is due to be a key frame.

    Attributes:
        world_from_camera: its pose, improved where a window of key frames could.
        covariance: (6, 6) of the pose.
        keyframe: the new key frame; None if the frame is not fit to be one.
    """

    world_from_camera: Matrix4
    covariance: Matrix6
    keyframe: Keyframe | None


def succeed(
    window: SlidingWindow,
    mapper: Mapper,
    keyframe: Keyframe,
    frame: PreparedFrame,
    measured: DepthEstimate | None,
    alignment: Alignment,
    world_from_camera: Matrix4,
    covariance: Matrix6,
    config: OdometryConfig,
) -> Succession:
    """Make a frame that was fitted to a key frame the next one.

    Args:
        window: the key frames so far; begun here if it is empty.
        mapper: gives the new key frame its depth.
        keyframe: what the frame was fitted to.
        frame: the frame.
        measured: its depth, if depth is measured.
        alignment: its fit.
        world_from_camera: its pose according to that.
        covariance: (6, 6) of the pose.
        config: how many points a key frame has, and what it must not lack.
    """
    if mapper.measures:
        measured = mapper.follow(keyframe, frame, measured, alignment.target_from_source)
        if measured is None:
            return Succession(world_from_camera, covariance, None)
    elif not mapper.ready or alignment.holds_translation:
        # without parallax key frames tell each other nothing of where they are
        window.clear()
        depth = mapper.follow(keyframe, frame, None, alignment.target_from_source)
        followed = mapper.followed(keyframe, alignment)
        successor = _successor(frame, depth, followed, world_from_camera, covariance, config)
        if successor is not None:
            scale = _carried_scale(keyframe, followed, world_from_camera)
            successor = dataclasses.replace(successor, scale=scale)
        return Succession(world_from_camera, covariance, successor)
    if not len(window):
        window.begin(keyframe, keyframe.depth if mapper.measures else None)
    joined = window.join(keyframe, frame, measured, alignment, world_from_camera)
    pose, covariance = joined.world_from_camera, joined.covariance
    depth, followed = measured, None
    if not mapper.measures:
        depth = mapper.follow(_rescaled(keyframe, joined), frame, None, joined.new_from_old)
        followed = joined.points
    successor = _successor(frame, depth, followed, pose, covariance, config)
    if successor is not None:
        successor = dataclasses.replace(successor, scale=joined.scale)
        window.append(successor, measured)
    return Succession(pose, covariance, successor)


def _carried_scale(
    keyframe: Keyframe, followed: PointDepths | None, world_from_camera: Matrix4
) -> MapScale:
    offset = world_from_camera[:3, 3] - keyframe.world_from_camera[:3, 3]
    if followed is None:
        return keyframe.scale.carried(offset, UNKNOWN**2)
    return keyframe.scale.carried(offset, lost_scale(followed.inverse_depth, followed.variance))


def _rescaled(keyframe: Keyframe, joined: Joined) -> Keyframe:
    """Return the key frame with its dense depth following the points that the window moved."""
    ratio = np.float32(joined.depth_ratio)
    depth = keyframe.depth
    inverse, variance = depth.inverse_depth * ratio, depth.variance * ratio**2
    moved = dataclasses.replace(depth, inverse_depth=inverse, variance=variance)
    return dataclasses.replace(keyframe, depth=moved)


def _successor(
    frame: PreparedFrame,
    depth: DepthEstimate | None,
    followed: PointDepths | None,
    world_from_camera: Matrix4,
    covariance: Matrix6,
    config: OdometryConfig,
) -> Keyframe | None:
    if depth is None:
        return None
    made = make_keyframe(frame, depth, followed, world_from_camera, covariance, config.pose.points)
    return None if lack(depth, made, config) else made
