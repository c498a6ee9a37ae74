# SPDX-License-Identifier: Apache-2.0
"""The verdict: what is believed, and the word for why not."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.odometry.health import judge, lack
from flowcam_ros.odometry.pair_prior import PairPrior
from flowcam_ros.odometry.scene_flow import Correspondences

NO_POINTS = Correspondences(
    torch.zeros(0, 2), torch.zeros(0, 2), *(torch.zeros(0) for _ in range(5))
)
GOOD = Alignment(
    flow=DenseFlow(lambda: np.zeros((1, 1, 2), np.float32)),
    points=NO_POINTS,
    kept=np.zeros(0, bool),
    followed=900,
    matched=800,
    inliers=750,
    target_from_source=np.eye(4),
    covariance=np.eye(6),
    condition=50.0,
)


def depth(share: float) -> DepthEstimate:
    camera = CameraModel(100, 10, 80.0, 80.0, 50.0, 5.0)
    inverse = np.zeros((10, 100), np.float32)
    inverse[:, : round(100 * share)] = 0.5
    return DepthEstimate(0, camera, inverse, inverse, np.zeros((10, 100), np.uint8))


@pytest.mark.parametrize(
    ('changes', 'state', 'reason'),
    [
        ({}, TrackingState.TRACKING, ''),
        ({'followed': 60}, TrackingState.LOST, 'overlap'),
        ({'matched': 40, 'inliers': 40}, TrackingState.LOST, 'flow'),
        ({'matched': 150, 'inliers': 150}, TrackingState.LOST, 'flow'),
        ({'matched': 250, 'inliers': 250}, TrackingState.DEGRADED, 'flow'),
        ({'inliers': 200}, TrackingState.LOST, 'outliers'),
        ({'inliers': 350}, TrackingState.DEGRADED, 'outliers'),
        ({'covariance': None}, TrackingState.LOST, 'flow'),
        ({'condition': 1e8}, TrackingState.DEGRADED, 'geometry'),
    ],
)
def test_verdicts(changes: dict, state: TrackingState, reason: str) -> None:
    alignment = dataclasses.replace(GOOD, **changes)
    verdict = judge(alignment, 1000, None, OdometryConfig())
    assert (verdict.state, verdict.reason) == (state, reason)
    assert verdict.believed == (state is not TrackingState.LOST)


# The surfaces agree, and hardly any point says anything.
EYE = torch.eye(6, dtype=torch.float64)
FIRM, OPEN, VAGUE = (
    PairPrior(torch.eye(4, dtype=torch.float64), information * EYE, 0.0 * EYE[0])
    for information in (1e5, 0.0, 1e2)
)
HELD = {'agreement': 0.99, 'surface': FIRM, 'inliers': 0}


@pytest.mark.parametrize(
    ('changes', 'state', 'reason'),
    [
        ({'matched': 10}, TrackingState.DEGRADED, 'flow'),
        ({'matched': 150}, TrackingState.DEGRADED, 'flow'),
        ({}, TrackingState.DEGRADED, 'outliers'),
        ({'inliers': 60, 'matched': 190}, TrackingState.DEGRADED, 'outliers'),
        ({'agreement': 0.9}, TrackingState.LOST, 'outliers'),
        ({'agreement': 0.9, 'matched': 10}, TrackingState.LOST, 'flow'),
        ({'condition': 1e4}, TrackingState.LOST, 'outliers'),
        ({'surface': OPEN}, TrackingState.LOST, 'outliers'),
        ({'surface': VAGUE}, TrackingState.LOST, 'outliers'),
        ({'surface': None}, TrackingState.LOST, 'outliers'),
        ({'covariance': None}, TrackingState.LOST, 'flow'),
        ({'followed': 60, 'matched': 10}, TrackingState.LOST, 'overlap'),
    ],
)
def test_depth_alone_holds_a_pose_but_never_tracks(
    changes: dict, state: TrackingState, reason: str
) -> None:
    alignment = dataclasses.replace(GOOD, **(HELD | changes))
    verdict = judge(alignment, 1000, None, OdometryConfig())
    assert (verdict.state, verdict.reason) == (state, reason)


def test_failing_depth_degrades() -> None:
    verdict = judge(GOOD, 1000, depth(0.02), OdometryConfig())
    assert (verdict.state, verdict.reason) == (TrackingState.DEGRADED, 'depth_invalid')


def test_what_a_frame_lacks_to_be_a_key_frame() -> None:
    config = OdometryConfig()
    assert lack(None, None, config) == 'depth_missing'
    assert lack(depth(0.02), None, config) == 'depth_missing'
