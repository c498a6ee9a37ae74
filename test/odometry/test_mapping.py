# SPDX-License-Identifier: Apache-2.0
"""Depth from motion alone: which translations the pictures tell."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.map_scale import MapScale
from flowcam_ros.odometry.motion_mapping import MotionMapper
from flowcam_ros.odometry.scene_flow import Correspondences

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)
INVERSE = 0.5
UNSEEN = 1.0 / INVERSE / CAMERA.fx  # the translation that moves a typical point by a pixel
SMALL = se3.exp(np.array([0.5 * UNSEEN, 0.0, 0.0, 0.02, -0.03, 0.01]))


def mapper(ready: bool = True) -> MotionMapper:
    result = MotionMapper(make_flow(OdometryConfig().flow, torch.device('cpu')))
    result._ready = ready
    return result


def keyframe(scale_sigma: float = 0.01) -> Keyframe:
    frame = FramePreparer(10**6).prepare(Frame(0, np.zeros((240, 320), np.uint8), CAMERA))
    dense = np.full((240, 320), INVERSE, np.float32)
    depth = DepthEstimate(0, CAMERA, dense, dense, frame.image)
    none = np.zeros(0, np.float32)
    points = PointDepths(np.zeros((0, 2), np.float32), none, none)
    scale = MapScale(scale_sigma**2)
    return Keyframe(frame, depth, np.eye(4), np.eye(6), points, none, scale)


def alignment(translation_sigma: float, pose: np.ndarray = SMALL) -> Alignment:
    """Return a fit at ``pose`` of points that were seen from there, without noise."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([320.0, 240.0], dtype=torch.float64)
    source = size * torch.rand(200, 2, dtype=torch.float64, generator=generator)
    inverse = INVERSE * (0.5 + torch.rand(200, dtype=torch.float64, generator=generator))
    there = rays(CAMERA, source) @ torch.from_numpy(pose[:3, :3]).T
    there = there + inverse.unsqueeze(-1) * torch.from_numpy(pose[:3, 3])
    ones = torch.ones_like(inverse)
    target = project(CAMERA, there)
    return Alignment(
        flow=DenseFlow(lambda: np.zeros((240, 320, 2), np.float32)),
        points=Correspondences(source, target, 0.01 * ones, inverse, ones, 0.0 * ones, ones),
        kept=np.ones(200, bool),
        followed=200,
        matched=200,
        inliers=200,
        target_from_source=pose,
        covariance=translation_sigma**2 * np.ones((6, 6)) + 1e-8 * np.eye(6),
        translation_sigma=translation_sigma,
        parallax_px=0.5,
    )


def test_a_small_translation_that_the_map_knows_is_taken() -> None:
    found = alignment(0.1 * UNSEEN)
    assert mapper().constrain(found, keyframe(), np.eye(4)) is found


@pytest.mark.parametrize(
    ('ready', 'scale_sigma', 'translation_sigma'),
    [(False, 0.01, 0.1), (True, 0.5, 0.1), (True, 0.01, 0.4)],
    ids=['no map yet', 'scale hardly known', 'translation hardly known'],
)
def test_otherwise_only_the_rotation_is_taken(
    ready: bool, scale_sigma: float, translation_sigma: float
) -> None:
    """Exactly, if the camera is where it is expected; where it is stays as unsure as a pixel."""
    found = alignment(translation_sigma * UNSEEN)
    wrong = dataclasses.replace(found, target_from_source=np.eye(4))
    held = mapper(ready).constrain(wrong, keyframe(scale_sigma), SMALL)
    assert held.holds_translation
    np.testing.assert_allclose(held.target_from_source, SMALL, atol=1e-6)
    assert held.covariance is not None and found.covariance is not None
    np.testing.assert_allclose(held.covariance[:3, :3], np.eye(3) * UNSEEN**2)
    np.testing.assert_array_equal(held.covariance[:3, 3:], 0.0)
    np.testing.assert_array_equal(held.covariance[3:, 3:], found.covariance[3:, 3:])
    assert held.translation_sigma == pytest.approx(UNSEEN)


def test_a_translation_with_parallax_is_taken_even_where_the_scale_is_not_known() -> None:
    pose = se3.exp(np.array([5.0 * UNSEEN, 0.0, 0.0, 0.02, -0.03, 0.01]))
    found = dataclasses.replace(alignment(UNSEEN, pose), parallax_px=5.0)
    assert mapper(ready=False).constrain(found, keyframe(0.5), np.eye(4)) is found
