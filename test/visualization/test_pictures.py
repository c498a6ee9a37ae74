# SPDX-License-Identifier: Apache-2.0
"""Pictures show what they claim, whichever way the world's axes point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import OutputError
from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.visualization.colors import UNKNOWN
from flowcam_ros.visualization.demo import plot_overview
from flowcam_ros.visualization.depth import depth_limits, depth_picture
from flowcam_ros.visualization.evaluation import plot_evaluation, summary
from flowcam_ros.visualization.view import choose_views


def level_walk(count: int = 30) -> Trajectory:
    """Return a level walk: ahead along z, then to the right along x; y is down."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    along = np.linspace(0.0, 2.0, count)
    poses[:, 0, 3] = np.maximum(along - 1.0, 0.0)
    poses[:, 2, 3] = np.minimum(along, 1.0) * 4.0
    return Trajectory(np.arange(count) * 33_000_000, poses)


def in_another_world(trajectory: Trajectory, rotation: Rotation) -> Trajectory:
    poses = trajectory.world_from_camera.copy()
    poses[:, :3] = rotation.as_matrix() @ poses[:, :3]
    return Trajectory(trajectory.stamps_ns, poses)


def test_near_is_red_and_far_is_blue() -> None:
    depth = np.linspace(1.0, 5.0, 200).reshape(10, 20)
    picture = depth_picture(depth).astype(int)
    assert picture.shape == (10, 20, 3)
    assert picture[0, 3, 0] > picture[0, 3, 2]
    assert picture[-1, -3, 2] > picture[-1, -3, 0]


@pytest.mark.parametrize('unknown', [0.0, -1.0, np.nan, np.inf])
def test_unknown_depth_is_dark(unknown: float) -> None:
    depth = np.full((4, 6), 2.0, np.float32)
    depth[1, 2] = unknown
    assert tuple(depth_picture(depth)[1, 2]) == UNKNOWN
    assert tuple(depth_picture(depth)[0, 0]) != UNKNOWN


def test_a_picture_without_depth_is_dark() -> None:
    assert (depth_picture(np.full((3, 3), np.nan)) == UNKNOWN).all()
    assert depth_limits(np.zeros((3, 3))) == (0.0, 0.0)


def test_given_limits_keep_colours_comparable() -> None:
    near, far = np.full((2, 2), 1.0), np.full((2, 2), 10.0)
    limits = (1.0, 10.0)
    assert (depth_picture(near, limits)[0, 0] != depth_picture(far, limits)[0, 0]).any()


def test_optical_world_is_seen_from_above() -> None:
    top, side = choose_views(level_walk())
    assert (top.axes, top.signs) == ((0, 2), (1, 1))
    assert (side.axes, side.signs) == ((2, 1), (1, -1))
    assert top.labels() == ('x [m]', 'z [m]')
    assert side.labels() == ('z [m]', '-y [m]')


def test_views_of_a_world_with_z_up() -> None:
    optical_to_body = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    top, side = choose_views(in_another_world(level_walk(), optical_to_body))
    assert (top.axes, top.signs) == ((0, 1), (1, 1))
    assert side.axes[1] == 2
    assert side.signs[1] == 1


def test_seen_from_above_a_right_turn_bends_right() -> None:
    for rotation in Rotation.random(12, random_state=0):
        # Whole quarter turns only: the views snap to the axes of the world.
        snapped = Rotation.from_euler(
            'xyz', np.round(rotation.as_euler('xyz') / (np.pi / 2)) * 90, degrees=True
        )
        walk = in_another_world(level_walk(), snapped)
        points = choose_views(walk)[0].project(walk.positions)
        first, second = points[10] - points[0], points[-1] - points[-10]
        assert first[0] * second[1] - first[1] * second[0] < 0


def test_evaluation_picture_is_written_once(tmp_path: Path) -> None:
    truth = level_walk()
    path = tmp_path / 'plot.png'
    result = evaluate(truth, truth, 'sim3')
    plot_evaluation(path, truth, truth, result)
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 400 and picture.std() > 5
    with pytest.raises(OutputError, match='not overwritten'):
        plot_evaluation(path, truth, truth, result)
    assert 'scale 1' in summary(result) and '30 of 30 poses' in summary(result)


def test_overview_picture_shows_image_and_depth(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 1] = 200
    depth = np.linspace(1.0, 3.0, 48 * 64).reshape(48, 64)
    depth[:10] = np.nan
    plot_overview(tmp_path / 'demo.png', level_walk(), None, image, depth, 'title', 'subtitle')
    picture = cv2.imread(str(tmp_path / 'demo.png'))
    green = (picture == (0, 200, 0)).all(axis=2)
    dark = (picture == UNKNOWN[::-1]).all(axis=2)
    assert green.mean() > 0.05
    assert dark.mean() > 0.01


def test_pyplot_is_never_touched() -> None:
    code = (
        'import sys, flowcam_ros.visualization.evaluation, flowcam_ros.visualization.demo; '
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
