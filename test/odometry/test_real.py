# SPDX-License-Identifier: Apache-2.0
"""Accuracy on real sequences, where they are present; the limits leave room for other machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences import open_sequence
from flowcam_ros.settings import build


def run(folder: Path, source: str) -> tuple[list[PoseEstimate], Trajectory]:
    sequence = open_sequence(folder)
    odometry = VisualOdometry(build(OdometryConfig, {'depth.source': source}))
    truth = sequence.ground_truth()
    assert truth is not None
    return [odometry.process(frame) for frame in sequence], truth


def ate(estimates: list[PoseEstimate], truth: Trajectory, align: str) -> float:
    """Return the RMSE of the positions after alignment, metres."""
    stamps = np.array([e.stamp_ns for e in estimates])
    found = Trajectory(stamps, np.array([e.world_from_camera for e in estimates]))
    return evaluate(found, truth, align).ate.rmse


@pytest.mark.parametrize(
    ('name', 'limit'),
    [('sevenscenes_redkitchen_a', 0.010), ('hololens_rot', 0.035), ('tum_fr3_cabinet', 0.85)],
)
def test_with_depth(shared_data: Path, name: str, limit: float) -> None:
    estimates, truth = run(shared_data / name, 'sensor')
    assert len(estimates) == len(truth)
    assert ate(estimates, truth, 'se3') < limit


@pytest.mark.parametrize(
    ('name', 'limit'),
    [('euroc_mh05_a', 0.015), ('sevenscenes_redkitchen_a', 0.040), ('hololens_rot', 0.070)],
)
def test_from_motion_alone(shared_data: Path, name: str, limit: float) -> None:
    estimates, truth = run(shared_data / name, 'none')
    assert len(estimates) == len(truth)
    assert ate(estimates, truth, 'sim3') < limit
    believed = [e for e in estimates if e.believed]
    assert len(believed) > 0.9 * len(estimates)


@pytest.mark.parametrize('name', ['kitti01_ramp', 'fox', 'llff_fern', 'tum_fr3_cabinet'])
def test_hard_sequences_run_to_the_end(shared_data: Path, name: str) -> None:
    estimates, truth = run(shared_data / name, 'none')
    assert len(estimates) == len(truth)
    for estimate in estimates:
        assert np.isfinite(estimate.world_from_camera).all()
        assert np.isfinite(estimate.covariance).all()
        if estimate.state is not TrackingState.TRACKING:
            assert estimate.reason
