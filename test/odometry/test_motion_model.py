# SPDX-License-Identifier: Apache-2.0
"""The motion model: velocity in camera axes, prediction, growing doubt."""

import numpy as np
import pytest

from flowcam_ros.geometry import se3
from flowcam_ros.odometry.motion import MotionModel

SECOND = 10**9


def moving(twist: np.ndarray, frames: int = 4) -> tuple[MotionModel, np.ndarray]:
    """Return a model that saw a constant velocity at 10 Hz, and the last pose."""
    model = MotionModel(0.5, 0.5)
    pose = se3.exp(np.array([1.0, 2.0, 3.0, 0.5, -0.4, 0.3]))
    step = np.eye(4)
    turn = se3.exp(np.concatenate([np.zeros(3), twist[3:] * 0.1]))
    step[:3, :3] = turn[:3, :3]
    step[:3, 3] = turn[:3, :3] @ twist[:3] * 0.1
    for i in range(frames):
        model.accept(i * SECOND // 10, pose, 1e-4 * np.eye(6), 1e-6 * np.eye(6))
        last, pose = pose, pose @ step
    return model, last


TWIST = np.array([0.5, -0.2, 1.0, 0.1, 0.2, -0.3])


def test_twist_is_in_camera_axes() -> None:
    model, _ = moving(TWIST)
    np.testing.assert_allclose(model.twist, TWIST, atol=1e-9)
    np.testing.assert_allclose(model.twist_covariance, 1e-4 * np.eye(6), atol=1e-12)


def test_prediction_goes_on_and_stops() -> None:
    model, last = moving(TWIST)
    near = model.predict(3 * SECOND // 10 + SECOND // 10, longest=0.5)
    ahead = se3.inverse(last) @ near
    assert np.linalg.norm(ahead[:3, 3]) == pytest.approx(0.1 * np.linalg.norm(TWIST[:3]))
    late, later = (model.predict(k * SECOND, longest=0.5) for k in (5, 50))
    np.testing.assert_allclose(late, later)


def test_doubt_grows_with_time() -> None:
    model, _ = moving(TWIST)
    traces = [np.trace(model.predicted_covariance(k * SECOND // 10)) for k in (4, 8, 30)]
    assert traces[0] < traces[1] < traces[2]


def test_halt_stays_where_it_was() -> None:
    model, last = moving(TWIST)
    model.halt()
    np.testing.assert_allclose(model.predict(10 * SECOND, longest=0.5), last)


def test_before_anything_the_pose_is_the_origin() -> None:
    model = MotionModel(0.5, 0.5)
    np.testing.assert_array_equal(model.predict(123, longest=0.5), np.eye(4))
    np.testing.assert_array_equal(model.twist, np.zeros(6))


def test_time_may_jump_back_without_a_jump_of_the_pose() -> None:
    model, last = moving(TWIST)
    model.restart_at(-100 * SECOND)
    np.testing.assert_allclose(model.predict(-99 * SECOND, longest=0.5), last)


def test_coasting_goes_on_for_a_moment_and_then_stays() -> None:
    """Frames that only turn do not stop the camera at once, nor carry it away."""
    model, last = moving(TWIST)  # the translation was seen until 0.3 s
    stamp = 3 * SECOND // 10
    moment = model.coast(stamp + SECOND // 10)
    np.testing.assert_allclose(moment, model.predict(stamp + SECOND // 10, longest=1.0))
    assert np.linalg.norm(moment[:3, 3] - last[:3, 3]) > 0.05
    np.testing.assert_array_equal(model.coast(stamp + SECOND // 5), last)
    np.testing.assert_array_equal(model.coast(stamp + 10 * SECOND), last)


def test_coasting_on_its_own_expectations_ends() -> None:
    model, last = moving(TWIST)
    stamp, way = 3 * SECOND // 10, []
    for i in range(1, 10):
        now = stamp + i * SECOND // 20
        pose = model.coast(now)
        way.append(np.linalg.norm(pose[:3, 3] - last[:3, 3]))
        model.accept(now, pose, np.eye(6), 1e-6 * np.eye(6), tells_translation=False)
    assert way[1] == pytest.approx(0.1 * np.linalg.norm(TWIST[:3]), rel=0.05)
    assert way[-1] == pytest.approx(way[2])
    assert way[2] == pytest.approx(0.15 * np.linalg.norm(TWIST[:3]), rel=0.05)


def test_a_camera_never_seen_to_move_does_not_coast() -> None:
    model = MotionModel(0.5, 0.5)
    pose = se3.exp(np.array([1.0, 2.0, 3.0, 0.5, -0.4, 0.3]))
    for i in range(3):
        model.accept(i * SECOND // 20, pose, np.eye(6), np.eye(6), tells_translation=False)
    np.testing.assert_array_equal(model.coast(SECOND // 8), pose)
