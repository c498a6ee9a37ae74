# SPDX-License-Identifier: Apache-2.0
"""Core estimates become REP-103 poses, twists and covariances that a filter can use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy', reason='needs ROS 2')

from geometry_msgs.msg import TransformStamped

from flowcam_ros.geometry import se3
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.ros.conversions import (
    BODY_FROM_OPTICAL,
    MIN_VARIANCE,
    UNKNOWN_VARIANCE,
    body_motion,
    odom_from_world,
    odometry_msg,
    stamp_msg,
    stamp_ns,
    transform_from_msg,
    transform_msg,
    trustworthy,
    unbelieved,
)

twists = st.lists(st.floats(-2.0, 2.0), min_size=6, max_size=6).map(np.array)
MOUNT = se3.exp(np.array([0.3, -0.1, 0.8, 0.0, 0.0, 0.0])) @ BODY_FROM_OPTICAL


def estimate(pose: np.ndarray, **changes: object) -> PoseEstimate:
    values: dict[str, object] = {
        'stamp_ns': 1_500_000_000,
        'state': TrackingState.TRACKING,
        'reason': '',
        'world_from_camera': pose,
        'covariance': np.eye(6) * 1e-4,
        'twist': np.zeros(6),
        'twist_covariance': np.eye(6) * 1e-2,
    }
    return PoseEstimate(**{**values, **changes})  # type: ignore[arg-type]


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """A camera moved along its own axes: right, down, forward."""
    return se3.from_rotation_translation(np.eye(3), np.array([x, y, z], float))


@pytest.mark.parametrize('mount', [None, BODY_FROM_OPTICAL])
@pytest.mark.parametrize(
    ('optical', 'body'),
    [((0, 0, 1), (1, 0, 0)), ((1, 0, 0), (0, -1, 0)), ((0, 1, 0), (0, 0, -1))],
    ids=['forward', 'right', 'down'],
)
def test_axes_are_those_of_rep_103(
    mount: np.ndarray | None, optical: tuple[int, ...], body: tuple[int, ...]
) -> None:
    start = odom_from_world(mount, np.eye(4))
    motion = body_motion(estimate(moved(*optical)), start, mount)
    assert motion.odom_from_base[:3, 3] == pytest.approx(body)


def test_without_base_frame_odom_begins_in_the_camera_with_body_axes() -> None:
    start = odom_from_world(None, np.eye(4))
    motion = body_motion(estimate(np.eye(4)), start, None)
    assert motion.odom_from_base == pytest.approx(BODY_FROM_OPTICAL)


@given(twists, twists)
def test_odom_begins_at_the_base_wherever_the_world_does(
    mount: np.ndarray, first: np.ndarray
) -> None:
    base_from_camera, pose = se3.exp(mount), se3.exp(first)
    start = odom_from_world(base_from_camera, pose)
    motion = body_motion(estimate(pose), start, base_from_camera)
    assert motion.odom_from_base == pytest.approx(np.eye(4), abs=1e-9)


def test_turning_on_the_spot_moves_a_camera_on_a_lever_but_not_the_base() -> None:
    turn = se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.7]))  # about the body's z axis
    camera = se3.inverse(MOUNT) @ turn @ MOUNT
    motion = body_motion(estimate(camera), odom_from_world(MOUNT, np.eye(4)), MOUNT)
    assert motion.odom_from_base == pytest.approx(turn, abs=1e-12)


@given(twists, twists)
def test_twist_is_the_derivative_of_the_pose_in_body_axes(
    velocity: np.ndarray, where: np.ndarray
) -> None:
    pose, dt = se3.exp(where), 1e-6
    start = odom_from_world(MOUNT, np.eye(4))
    # The camera's twist: linear and angular velocity in its own axes.
    step = np.eye(4)
    step[:3, :3] = se3.exp(np.concatenate([np.zeros(3), velocity[3:] * dt]))[:3, :3]
    step[:3, 3] = velocity[:3] * dt
    now = body_motion(estimate(pose, twist=velocity), start, MOUNT)
    later = body_motion(estimate(pose @ step), start, MOUNT)
    numeric = se3.inverse(now.odom_from_base) @ later.odom_from_base
    assert now.twist[:3] == pytest.approx(numeric[:3, 3] / dt, abs=1e-3)
    assert now.twist[3:] == pytest.approx(se3.log(numeric)[3:] / dt, abs=1e-3)


def test_covariance_agrees_with_sampled_errors() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(6, 6)) * 2e-3
    covariance = root @ root.T
    pose = se3.exp(np.array([1.0, -0.5, 2.0, 0.4, -0.8, 0.3]))
    start = odom_from_world(MOUNT, np.eye(4))
    nominal = body_motion(estimate(pose, covariance=covariance), start, MOUNT)
    errors = []
    for sample in rng.multivariate_normal(np.zeros(6), covariance, size=4000):
        turn = se3.exp(np.concatenate([np.zeros(3), sample[3:]]))[:3, :3]
        wrong = se3.from_rotation_translation(turn @ pose[:3, :3], pose[:3, 3] + sample[:3])
        base = body_motion(estimate(wrong), start, MOUNT).odom_from_base
        rotation = base[:3, :3] @ nominal.odom_from_base[:3, :3].T
        turned = se3.log(se3.from_rotation_translation(rotation, np.zeros(3)))[3:]
        errors.append(np.concatenate([base[:3, 3] - nominal.odom_from_base[:3, 3], turned]))
    sampled = np.cov(np.array(errors).T)
    assert sampled == pytest.approx(nominal.covariance, abs=0.08 * np.abs(sampled).max())


def test_own_motion_of_a_moving_head_is_no_motion_of_the_body() -> None:
    turn_rate = np.array([0.0, 0.0, 0.0, 0.0, 0.5, 0.0])
    start = odom_from_world(MOUNT, np.eye(4))
    motion = body_motion(estimate(np.eye(4), twist=turn_rate), start, MOUNT, turn_rate)
    assert motion.twist == pytest.approx(np.zeros(6))


@given(
    st.lists(
        st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1.0, 1.0),
        min_size=36,
        max_size=36,
    )
)
def test_any_covariance_becomes_one_a_filter_can_use(values: list[float]) -> None:
    result = trustworthy(np.array(values).reshape(6, 6))
    assert np.isfinite(result).all()
    assert (result == result.T).all()
    eigenvalues = np.linalg.eigvalsh(result)
    assert eigenvalues.min() > 0.5 * MIN_VARIANCE
    assert eigenvalues.max() < 1.001 * UNKNOWN_VARIANCE


def test_good_covariance_is_left_alone() -> None:
    good = np.diag([1e-4, 2e-4, 3e-4, 1e-6, 2e-6, 3e-6])
    assert trustworthy(good) == pytest.approx(good, rel=1e-12)


def test_an_unbelieved_motion_says_so_and_stays_valid() -> None:
    motion = body_motion(estimate(moved(z=2.0)), BODY_FROM_OPTICAL, None)
    message = odometry_msg(unbelieved(motion), 'odom', 'camera')
    assert np.diag(message.pose.covariance.reshape(6, 6)) == pytest.approx([9999.0] * 6)
    assert message.twist.twist.linear.x == 0.0
    q = message.pose.pose.orientation
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1.0)
    assert message.pose.pose.position.x == pytest.approx(2.0)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_survive_to_the_nanosecond(nanoseconds: int) -> None:
    assert stamp_ns(stamp_msg(nanoseconds)) == nanoseconds


@pytest.mark.parametrize('inverted', [False, True])
def test_transform_message_round_trip(inverted: bool) -> None:
    motion = body_motion(estimate(se3.exp(np.arange(6) * 0.1)), BODY_FROM_OPTICAL, None)
    message = transform_msg(motion, 'odom', 'base', inverted=inverted)
    frames = (message.header.frame_id, message.child_frame_id)
    assert frames == (('base', 'odom') if inverted else ('odom', 'base'))
    transform = transform_from_msg(message)
    pose = se3.inverse(transform) if inverted else transform
    assert pose == pytest.approx(motion.odom_from_base, abs=1e-12)


@pytest.mark.parametrize('field', ['nan', 'zero'])
def test_a_transform_without_sense_is_refused(field: str) -> None:
    message = TransformStamped()
    message.transform.rotation.w = float('nan') if field == 'nan' else 0.0
    with pytest.raises(ValueError, match='not a transform'):
        transform_from_msg(message)
