# SPDX-License-Identifier: Apache-2.0
"""What is lifted to scene flow."""

import numpy as np
import torch

from flowcam_ros.correspondence.points import RefinedPoints
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.scene_flow import lift

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)


def keyframe(inverse: np.ndarray, variance: np.ndarray) -> Keyframe:
    frame = FramePreparer(10**6).prepare(Frame(0, np.zeros((240, 320), np.uint8), CAMERA))
    pixels = np.random.default_rng(1).integers(0, 240, (len(inverse), 2)).astype(np.float32)
    dense = np.full((240, 320), 0.5, np.float32)
    depth = DepthEstimate(0, CAMERA, dense, dense, frame.image)
    points = PointDepths(pixels, inverse, variance)
    return Keyframe(frame, depth, np.eye(4), np.eye(6), points, np.ones_like(inverse))


def matched(keyframe: Keyframe, valid: np.ndarray) -> RefinedPoints:
    sigma = np.linspace(0.1, 0.4, len(valid), dtype=np.float32)
    return RefinedPoints(keyframe.points.pixels + np.float32(2.0), sigma, valid)


def test_points_that_are_lost_or_of_unknown_depth_are_left_out() -> None:
    inverse = np.random.default_rng(0).uniform(0.1, 2.0, 60).astype(np.float32)
    variance = (0.1 * inverse) ** 2
    inverse[3], variance[5] = 0.0, np.inf
    valid = np.ones(len(inverse), bool)
    valid[7] = False
    source = keyframe(inverse, variance)
    lifted, kept = lift(source, matched(source, valid), None, torch.device('cpu'))
    np.testing.assert_array_equal(np.flatnonzero(~kept), [3, 5, 7])
    assert len(lifted) == kept.sum()
    np.testing.assert_allclose(lifted.inverse_depth, inverse[kept])
    assert not lifted.target_inverse_depth.any()
