# SPDX-License-Identifier: Apache-2.0
"""What is lifted to scene flow, and how depths that were only guessed count."""

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.points import RefinedPoints
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.scene_flow import are_guesses, lift, without_guesses

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)


def depths(known: int, guessed: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return depths known to a tenth, then some known to a third, then guesses."""
    inverse = np.random.default_rng(0).uniform(0.1, 2.0, known + 10 + guessed)
    share = np.repeat([0.1, 0.3, 0.5], [known, 10, guessed])
    return inverse.astype(np.float32), ((share * inverse) ** 2).astype(np.float32)


def test_guesses_are_loose_where_enough_depths_are_known() -> None:
    inverse, variance = depths(known=120)
    guessed = np.arange(150) >= 130
    np.testing.assert_array_equal(are_guesses(inverse, variance), guessed)
    loose = without_guesses(inverse, variance)
    np.testing.assert_array_equal(loose[~guessed], variance[~guessed])
    assert (loose[guessed] > 2.0 * variance[guessed]).all()


def test_guesses_are_all_there_is_where_few_depths_are_known() -> None:
    inverse, variance = depths(known=80)
    assert not are_guesses(inverse, variance).any()
    np.testing.assert_array_equal(without_guesses(inverse, variance), variance)


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


@pytest.mark.parametrize('known', [80, 120])
def test_guessed_depths_count_less_in_the_scene_flow(known: int) -> None:
    inverse, variance = depths(known)
    source = keyframe(inverse, variance)
    matches = matched(source, np.ones(len(inverse), bool))
    lifted, kept = lift(source, matches, None, torch.device('cpu'))
    assert kept.all()
    guessed = are_guesses(inverse, variance)
    assert guessed.any() == (known >= 100)
    np.testing.assert_allclose(lifted.inverse_depth_variance, without_guesses(inverse, variance))
    np.testing.assert_allclose(lifted.pixel_variance, matches.sigma**2, rtol=1e-6)


def test_points_that_are_lost_or_of_unknown_depth_are_left_out() -> None:
    inverse, variance = depths(known=30)
    inverse[3], variance[5] = 0.0, np.inf
    valid = np.ones(len(inverse), bool)
    valid[7] = False
    source = keyframe(inverse, variance)
    lifted, kept = lift(source, matched(source, valid), None, torch.device('cpu'))
    np.testing.assert_array_equal(np.flatnonzero(~kept), [3, 5, 7])
    assert len(lifted) == kept.sum()
    np.testing.assert_allclose(lifted.inverse_depth, inverse[kept])
    assert not lifted.target_inverse_depth.any()
