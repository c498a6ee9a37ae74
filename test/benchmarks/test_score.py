# SPDX-License-Identifier: Apache-2.0
"""The figures of the comparison, on paths whose errors are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.peers.score import score
from flowcam_ros.evaluation.consistency import velocities
from flowcam_ros.geometry.trajectory import Trajectory

COUNT = 20


@pytest.fixture
def truth() -> Trajectory:
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    angle = np.linspace(0.0, 2.0, COUNT)
    poses[:, :3, :3] = Rotation.from_euler('y', angle).as_matrix()
    poses[:, :3, 3] = np.column_stack([np.sin(angle), 0.1 * angle**2, 1.0 - np.cos(angle)])
    world = np.eye(4)
    world[:3, :3] = Rotation.from_euler('xyz', [0.3, -0.5, 1.0]).as_matrix()
    world[:3, 3] = 1.0, 2.0, 3.0
    return Trajectory(np.arange(COUNT, dtype=np.int64) * 100_000_000, world @ poses)


def result(truth: Trajectory, **changes: Any) -> dict[str, Any]:
    """Return what a worker says about a path that is right, in the world of its first camera."""
    poses = np.linalg.inv(truth.world_from_camera[0]) @ truth.world_from_camera
    return {
        'stamps_ns': truth.stamps_ns.tolist(),
        'epochs': [0] * COUNT,
        'poses': poses,
        'believed': [True] * COUNT,
        'states': ['tracking'] * COUNT,
        'covariances': [None] * COUNT,
        'twists': [None] * COUNT,
        'twist_covariances': [None] * COUNT,
        'wall_ms': [1000.0] + [20.0] * (COUNT - 1),
        'cpu_ms': [1000.0] + [30.0] * (COUNT - 1),
        'peak_mb': 123.0,
    } | changes


def test_a_right_path_has_no_error_and_the_first_frame_does_not_count_in_the_times(
    truth: Trajectory,
) -> None:
    figures = score(result(truth), truth, 'depth')
    for name in ('ate_mm', 'ate_all_mm', 'rpe_mm', 'rpe_deg'):
        assert figures[name] == pytest.approx(0.0, abs=1e-4)
    assert figures['coverage'] == 1.0
    assert figures['frame_ms'] == figures['frame_ms_p95'] == pytest.approx(20.0)
    assert figures['frames_per_s'] == pytest.approx(50.0)
    assert figures['cpu_ms'] == pytest.approx(30.0)
    assert figures['anees'] is None and figures['anees_twist'] is None
    assert figures['states'] == {'tracking': COUNT}


def test_a_frame_that_is_not_believed_counts_only_in_the_error_of_all(truth: Trajectory) -> None:
    run = result(truth)
    run['poses'][7, :3, 3] += 1.0
    run['believed'][7] = False
    figures = score(run, truth, 'depth')
    assert figures['coverage'] == pytest.approx(1.0 - 1.0 / COUNT)
    assert figures['ate_mm'] == pytest.approx(0.0, abs=1e-4)
    assert figures['ate_all_mm'] > 100.0


def test_of_several_epochs_the_longest_counts(truth: Trajectory) -> None:
    run = result(truth)
    run['epochs'] = [0] * 8 + [1] * 12
    run['poses'][8:] = np.linalg.inv(run['poses'][8]) @ run['poses'][8:]
    assert score(run | {'epochs': [0] * COUNT}, truth, 'depth')['ate_mm'] > 10.0
    run['covariances'] = run['twist_covariances'] = [1e-6 * np.eye(6)] * COUNT
    run['twists'] = [np.zeros(6), *velocities(truth.world_from_camera, truth.stamps_ns)]
    figures = score(run, truth, 'depth')
    assert (figures['epochs'], figures['frames_of_epoch'], figures['frames']) == (2, 12, COUNT)
    assert figures['ate_mm'] == figures['ate_all_mm'] == pytest.approx(0.0, abs=1e-4)
    assert figures['anees'] == pytest.approx(0.0, abs=1e-4)
    assert figures['coverage'] == pytest.approx(12 / COUNT)
    assert figures['states'] == {'tracking': COUNT}


def test_nothing_believed_gives_no_error_instead_of_none_at_all(truth: Trajectory) -> None:
    figures = score(result(truth, believed=[False] * COUNT), truth, 'depth')
    assert figures['coverage'] == 0.0
    assert figures['ate_mm'] is None and figures['rpe_deg'] is None


def test_the_unit_of_a_path_matters_only_with_depth(truth: Trajectory) -> None:
    run = result(truth)
    run['poses'][:, :3, 3] *= 0.1
    assert score(run, truth, 'mono')['ate_mm'] == pytest.approx(0.0, abs=1e-4)
    assert score(run, truth, 'depth')['ate_mm'] > 100.0


@pytest.mark.parametrize(('mode', 'unit'), [('depth', 1.0), ('mono', 0.1)])
def test_consistency_is_measured_from_the_first_frame_in_the_unit_of_the_truth(
    truth: Trajectory, mode: str, unit: float
) -> None:
    sigma = 0.001
    run = result(truth)
    # Every other frame errs by two standard deviations in one of six coordinates: 2^2 / 6 / 2.
    run['poses'][2::2, 1, 3] += 2.0 * sigma
    run['poses'][:, :3, 3] *= unit
    covariance = np.diag([(unit * sigma) ** 2] * 3 + [1e-6] * 3)
    run['covariances'] = run['twist_covariances'] = [covariance] * COUNT
    true = velocities(truth.world_from_camera, truth.stamps_ns)
    true[:, :3] *= unit
    true[:, 0] += 3.0 * unit * sigma
    run['twists'] = [np.zeros(6), *true]
    wrong = len(range(2, COUNT, 2))
    expected = 4.0 / 6.0 * wrong / (COUNT - 1)
    figures = score(run, truth, mode)
    assert figures['anees'] == pytest.approx(expected, rel=0.05)
    assert figures['anees_twist'] == pytest.approx(9.0 / 6.0, rel=0.05)
