# SPDX-License-Identifier: Apache-2.0
"""The frame that the following ones are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.correspondence.points import select_points
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4


@dataclass(frozen=True)
class Keyframe:
    """A frame with pose, depth and the points that are followed from it.

    Attributes:
        frame: the picture.
        depth: its depth so far.
        world_from_camera: its pose.
        covariance: (6, 6) of its pose.
        points: (n, 2) float32 textured pixels.
        texture: (n,) float32, see select_points.
    """

    frame: PreparedFrame
    depth: DepthEstimate
    world_from_camera: Matrix4
    covariance: Matrix6
    points: Float[np.ndarray, 'n 2']
    texture: Float[np.ndarray, 'n']

    @property
    def depth_share(self) -> float:
        """Share of the pixels that have depth."""
        return float(np.count_nonzero(self.depth.inverse_depth) / self.depth.inverse_depth.size)


def make_keyframe(
    frame: PreparedFrame,
    depth: DepthEstimate,
    world_from_camera: Matrix4,
    covariance: Matrix6,
    count: int,
) -> Keyframe:
    """Choose the points of a new key frame: textured, usable and with depth."""
    usable = frame.usable
    if depth.inverse_depth.shape == frame.grey.shape:
        known = depth.inverse_depth > 0
        usable = known if usable is None else usable & known
    points, texture = select_points(frame.grey, usable, count)
    return Keyframe(frame, depth, world_from_camera, covariance, points, texture)
