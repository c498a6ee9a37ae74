# SPDX-License-Identifier: Apache-2.0
"""Each trajectory does what its name says, smoothly, inside of the room."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from flowcam_ros.geometry import se3
from flowcam_ros.sequences.synthetic import TRAJECTORIES, parse_synthetic
from flowcam_ros.sequences.synthetic import sequence as module
from flowcam_ros.sequences.synthetic.materials import Workshop
from flowcam_ros.sequences.synthetic.paths import camera_path, object_path
from flowcam_ros.sequences.synthetic.room import World, furnished_room

TIMES = np.arange(0, 8, 1 / 30)


@pytest.fixture(autouse=True, scope='module')
def shared_worlds() -> Iterator[None]:
    """Furnish each room once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'World', functools.lru_cache(World))
        yield


def rates(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return speed (m/s) and turning rate (degrees/s) between frames at 30 Hz."""
    path = camera_path(name)
    steps = [se3.inverse(path(t)) @ path(t + 1 / 30) for t in TIMES]
    speed = np.array([np.linalg.norm(step[:3, 3]) for step in steps]) * 30
    return speed, np.degrees([se3.rotation_angle(step) for step in steps]) * 30


def grey_views(spec: str, positions: list[int]) -> list[np.ndarray]:
    sequence = parse_synthetic(f'synthetic:{spec}?width=160&height=120&frames=720')
    return [cv2.cvtColor(sequence.view(k).image, cv2.COLOR_BGR2GRAY) for k in positions]


def contrast(image: np.ndarray) -> float:
    """Return the share of pixels whose gradient is above one grey level per pixel."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (5, 5), 0)
    down, right = np.gradient(smooth)
    return float((np.hypot(down, right) > 1.0).mean())


@pytest.mark.parametrize('name', TRAJECTORIES)
def test_poses_are_rigid_level_headed_and_inside_the_room(name: str) -> None:
    path = camera_path(name)
    for time in np.linspace(0, 60, 241):
        pose = path(time)
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) > 0
        x, y, z = pose[:3, 3]
        assert abs(x) < 3.6 and abs(y) < 3.1 and 1.1 < z < 1.8
        assert pose[2, 1] < -0.8, 'the image must not be upside down'


@pytest.mark.parametrize('seed', range(3))
def test_no_path_runs_into_furniture(seed: int) -> None:
    blocks = furnished_room(Workshop(np.random.default_rng([seed, 1]), 20.0)).blocks
    places = [camera_path(name)(t)[:3, 3] for name in TRAJECTORIES for t in np.arange(0, 25, 0.1)]
    for block in blocks:
        beyond = np.abs((np.array(places) - block.centre) @ block.axes.T) - block.half
        assert np.linalg.norm(beyond.clip(0), axis=1).min() > 0.25


@pytest.mark.parametrize('name', TRAJECTORIES)
def test_paths_have_two_continuous_derivatives(name: str) -> None:
    path, step = camera_path(name), 2e-3
    # Times off the grid on which corners of a path would lie.
    times = np.arange(0.1, 25, step)
    poses = np.stack([path(t) for t in times]).reshape(-1, 16)
    acceleration = np.diff(poses, n=2, axis=0) / step**2
    jump = np.abs(np.diff(acceleration, axis=0)).max()
    # A corner in the speed would give jumps of the order of 1 / step.
    assert jump < 1.5


def test_translation_does_not_turn() -> None:
    speed, turning = rates('translation')
    assert turning.max() < 1e-9
    assert 0.2 < speed.mean() < 1.5


def test_rotation_does_not_move() -> None:
    speed, turning = rates('rotation')
    assert speed.max() < 1e-12
    assert 20 < turning.max() < 60


def test_standstill_stands_still() -> None:
    poses = np.stack([camera_path('standstill')(t) for t in TIMES])
    assert (poses == poses[0]).all()


def test_fast_turn_is_fast() -> None:
    _, turning = rates('fast_turn')
    assert turning.max() > 120
    assert np.median(turning) < 1


def test_stop_and_turn_turns_on_the_spot_between_two_walks() -> None:
    speed, turning = rates('stop_and_turn')
    turns = turning > 1e-6
    assert turning.max() > 50 and speed[turns].max() < 1e-12
    first, last = np.flatnonzero(turns)[[0, -1]]
    assert speed[:first].max() > 0.5 and speed[last:].max() > 0.5


def test_walk_goes_several_metres_and_turns_at_a_walking_pace() -> None:
    speed, turning = rates('walk')
    assert 4.0 < speed.mean() * 8 < 9.0
    assert speed.min() > 0.1 and speed.max() < 1.5
    assert turning.max() < 50
    path = camera_path('walk')
    heading = np.unwrap([np.arctan2(path(t)[1, 2], path(t)[0, 2]) for t in TIMES])
    assert np.degrees(heading[-1] - heading[0]) > 60


def test_walk_always_sees_texture() -> None:
    positions = list(range(0, 720, 40))
    assert min(map(contrast, grey_views('walk', positions))) > 0.3


def test_orbit_goes_round_and_looks_at_the_table() -> None:
    path = camera_path('orbit')
    for time in np.linspace(0, 16, 33):
        target = se3.inverse(path(time)) @ np.array([0.0, 0.2, 0.55, 1.0])
        assert np.linalg.norm(target[:2]) < 1e-6 and 1.5 < target[2] < 3.0
    np.testing.assert_allclose(path(0)[:2, 3], path(16)[:2, 3], atol=1e-9)


def test_textureless_passes_a_stretch_of_nothing_between_texture() -> None:
    positions = list(range(0, 200, 10))
    texture = np.array([contrast(image) for image in grey_views('textureless', positions)])
    assert texture[0] > 0.1 and texture[-1] > 0.1
    blank = texture == 0
    assert blank.sum() >= 3
    assert blank[np.argmax(blank) :][: blank.sum()].all(), 'one stretch'


def test_moving_object_is_seen_crossing_before_a_camera_that_stands() -> None:
    speed, turning = rates('moving_object')
    assert max(speed.max(), turning.max()) < 1e-6
    sequence = parse_synthetic('synthetic:moving_object?width=160&height=120')
    centres = []
    for position in range(20, 90, 10):
        body = sequence.view(position).body
        if (body == 1).any():
            centres.append(np.nonzero(body == 1)[1].mean())
    assert len(centres) >= 4
    assert max(centres) - min(centres) > 60
    moved = se3.inverse(object_path(0)(1.0)) @ object_path(0)(2.0)
    assert np.linalg.norm(moved[:3, 3]) > 0.5
