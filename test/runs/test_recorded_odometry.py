# SPDX-License-Identifier: Apache-2.0
"""The robot's own odometry lies beside the reconstruction: same unit, averaged drift."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from reconstructions import make_reconstruction
from scipy.spatial.transform import Rotation
from small_refinements import BODY_FROM_CAMERA, FRAMES, SEQUENCE, turned, write_small_bag

from flowcam_ros.export.bag import RecordedOdometry, map_from_odom, map_from_world
from flowcam_ros.flowmap.path_scale import scale_from_path
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.runs.recorded_odometry import known_path, recorded_odometry
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.sequence import BodyPath, WithOdometry

TURN = 0.2


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('recorded') / 'bag'
    write_small_bag(folder, turn=TURN)
    return folder


def truth(unit: float = 1.0) -> Trajectory:
    """Return the true path in a unit of so many metres."""
    path = open_sequence(SEQUENCE).ground_truth()
    assert path is not None
    poses = path.world_from_camera.copy()
    poses[:, :3, 3] /= unit
    return Trajectory(path.stamps_ns, poses)


def test_a_bag_tells_the_body_s_path_and_the_camera_on_it(bag: Path) -> None:
    sequence = open_sequence(bag)
    assert isinstance(sequence, WithOdometry)
    found = sequence.odometry()
    assert found is not None and found.frame == 'wheels' and len(found.path) == FRAMES
    np.testing.assert_allclose(found.body_from_camera, BODY_FROM_CAMERA, atol=1e-9)
    np.testing.assert_allclose(found.path.world_from_camera[0], np.eye(4), atol=1e-9)


def test_without_odometry_there_is_none(tmp_path: Path) -> None:
    write_small_bag(tmp_path / 'bag')
    sequence = open_sequence(tmp_path / 'bag')
    assert isinstance(sequence, WithOdometry) and sequence.odometry() is None
    assert recorded_odometry(sequence, make_reconstruction()) is None
    assert recorded_odometry(open_sequence(SEQUENCE), make_reconstruction()) is None


@pytest.mark.parametrize(('source', 'unit'), [('depth', 1.0), ('none', 3.0)])
def test_it_gets_the_unit_of_the_reconstruction(tmp_path: Path, source: str, unit: float) -> None:
    write_small_bag(tmp_path / 'bag', turn=0.0)
    ours = dataclasses.replace(make_reconstruction(), trajectory=truth(unit), scale_source=source)
    found = recorded_odometry(open_sequence(tmp_path / 'bag'), ours)
    assert found is not None and found.frame == 'wheels'
    assert found.path.path_length == pytest.approx(ours.trajectory.path_length, rel=0.01)


def test_odometry_with_too_little_in_common_gives_no_unit(bag: Path) -> None:
    path = truth(3.0)
    few = Trajectory(path.stamps_ns[:4], path.world_from_camera[:4])
    ours = dataclasses.replace(make_reconstruction(), trajectory=few, scale_source='none')
    assert recorded_odometry(open_sequence(bag), ours) is None


def test_a_heading_that_drifts_hardly_matters_where_the_mount_is_known(bag: Path) -> None:
    known = known_path(open_sequence(bag))
    assert known is not None and known.away_m < 0.1
    scale = scale_from_path(truth(3.0), known)
    assert scale.factor == pytest.approx(3.0, rel=2.5 * scale.sigma) and scale.sigma < 0.05


def test_without_a_mount_the_path_is_that_of_the_body(bag: Path) -> None:
    class Unmounted:
        name = 'unmounted'
        losses: ClassVar[list[str]] = []

        def __iter__(self) -> Iterator[Frame]:
            return iter(())

        def expected_frames(self) -> int | None:
            return None

        def ground_truth(self) -> Trajectory | None:
            return None

        def odometry(self) -> BodyPath | None:
            whole = open_sequence(bag)
            assert isinstance(whole, WithOdometry)
            found = whole.odometry()
            return found and dataclasses.replace(found, body_from_camera=None)

    known = known_path(Unmounted())
    assert known is not None and known.away_m > 0.5
    # an orbit seen from anywhere on the robot may have any size
    assert scale_from_path(truth(3.0), known).factor is None


def test_one_edge_shares_the_drift_between_beginning_and_end(bag: Path) -> None:
    ours = dataclasses.replace(make_reconstruction(), trajectory=truth(), scale_source='depth')
    odometry = recorded_odometry(open_sequence(bag), ours)
    assert odometry is not None
    edge = map_from_odom(ours.trajectory, odometry)
    angle = Rotation.from_matrix(edge[:3, :3]).as_rotvec()
    np.testing.assert_allclose(angle, [0.0, 0.0, -TURN / 2], atol=1e-3)
    refined = map_from_world(ours.trajectory, odometry) @ ours.trajectory.world_from_camera
    away = refined[:, :3, 3] - (edge @ odometry.path.world_from_camera)[:, :3, 3]
    np.testing.assert_allclose(away.mean(axis=0), 0.0, atol=1e-9)


def test_a_path_without_drift_is_the_map_s() -> None:
    path = truth()
    back = BODY_FROM_CAMERA @ np.linalg.inv(path.world_from_camera[0])
    exact = Trajectory(path.stamps_ns, turned(0.4) @ back @ path.world_from_camera)
    odometry = RecordedOdometry('odom', exact)
    np.testing.assert_allclose(map_from_odom(path, odometry), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(map_from_odom(path), np.eye(4))
