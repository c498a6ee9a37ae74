# SPDX-License-Identifier: Apache-2.0
"""The pose of a frame from its fit to a key frame, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import Matrix6, of_product, rotated
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.keyframe import Keyframe


@dataclass(frozen=True)
class FittedPose:
    """Where a frame was taken.

    Attributes:
        world_from_camera: its pose.
        covariance: (6, 6) of the pose.
        step: (6, 6) of the motion since the frame before.
        fit: (6, 6) of the fit alone.
    """

    world_from_camera: Matrix4
    covariance: Matrix6
    step: Matrix6
    fit: Matrix6


def fitted_pose(
    keyframe: Keyframe, alignment: Alignment, fit_before: Matrix6, position_before: Vector3
) -> FittedPose:
    """Return the pose of a frame that was fitted to a key frame.

    Args:
        keyframe: with its own pose and covariance, and the scale of its map.
        alignment: a believed fit.
        fit_before: covariance of the fit of the frame before to the same key frame.
        position_before: of that frame's camera in the world.
    """
    world_from_key = keyframe.world_from_camera
    key_from_camera = se3.inverse(alignment.target_from_source)
    pose = se3.orthonormalized(world_from_key @ key_from_camera)
    fit = alignment.covariance
    assert fit is not None  # a believed fit has one
    error = alignment.alike * fit
    covariance = of_product(world_from_key, keyframe.covariance, key_from_camera, error)
    covariance += keyframe.scale.of_pose(pose[:3, 3] - world_from_key[:3, 3])
    # this frame and the one before share the errors that points have in common
    step = rotated(fit + fit_before, world_from_key[:3, :3])
    way = pose[:3, 3] - position_before
    step[:3, :3] += keyframe.scale.of_length * np.outer(way, way)
    return FittedPose(pose, covariance, step, fit)
