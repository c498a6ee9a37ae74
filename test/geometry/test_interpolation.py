# SPDX-License-Identifier: Apache-2.0
"""Poses in between, and no poses where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from flowcam_ros.geometry.interpolation import interpolated
from flowcam_ros.geometry.se3 import exp
from flowcam_ros.geometry.trajectory import Trajectory

START = 1_700_000_000_000_000_001
TWIST = np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.4])


def trajectory() -> Trajectory:
    straight = [np.r_[TWIST[:3], 0, 0, 0], np.r_[0, 0, 0, TWIST[3:]]]
    poses = np.stack([exp(straight[0] * k) @ exp(straight[1] * k) for k in range(3)])
    return Trajectory(START + np.array([0, 100, 1000]), poses)


def test_known_stamps_give_their_own_poses() -> None:
    own = trajectory()
    poses, known = interpolated(own, own.stamps_ns, 0)
    assert known.all() and np.allclose(poses, own.world_from_camera, atol=1e-12)


def test_in_between_both_parts_go_evenly() -> None:
    poses, known = interpolated(trajectory(), START + np.array([25]), 100)
    assert known.all()
    assert poses[0, :3, 3] == pytest.approx(0.25 * TWIST[:3])
    assert np.allclose(poses[0, :3, :3], exp(np.r_[0, 0, 0, 0, 0, 0.1])[:3, :3])


def test_beyond_the_ends_and_in_gaps_nothing_is_known() -> None:
    poses, known = interpolated(trajectory(), START + np.array([-1, 500, 1001]), 100)
    assert not known.any() and (poses == np.eye(4)).all()


@pytest.mark.parametrize('count', [0, 1])
def test_short_trajectories(count: int) -> None:
    own = trajectory()
    short = Trajectory(own.stamps_ns[:count], own.world_from_camera[:count])
    poses, known = interpolated(short, START + np.array([0, 1]), 1000)
    assert known.tolist() == [count == 1, False]
    assert np.isfinite(poses).all()
