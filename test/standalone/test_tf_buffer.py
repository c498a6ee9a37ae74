# SPDX-License-Identifier: Apache-2.0
"""The buffer of tf2: chains, time, and what it says when it cannot answer."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import tf2_ros
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp

SECOND = 1_000_000_000

angle = st.floats(-3.0, 3.0)
pose = st.builds(
    lambda turn, shift: matrix(Rotation.from_rotvec(turn), shift),
    st.tuples(angle, angle, angle),
    st.tuples(*[st.floats(-100, 100)] * 3),
)


def matrix(rotation: Rotation, translation) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = rotation.as_matrix()
    result[:3, 3] = translation
    return result


def message(
    parent: str, child: str, stamp: int, parent_from_child: np.ndarray
) -> TransformStamped:
    result = TransformStamped()
    result.header.frame_id = parent
    result.header.stamp = Time(nanoseconds=stamp).to_msg()
    result.child_frame_id = child
    t, r = result.transform.translation, result.transform.rotation
    t.x, t.y, t.z = (float(value) for value in parent_from_child[:3, 3])
    r.x, r.y, r.z, r.w = map(float, Rotation.from_matrix(parent_from_child[:3, :3]).as_quat())
    return result


def shifted(x: float) -> np.ndarray:
    return matrix(Rotation.identity(), (x, 0.0, 0.0))


def as_matrix(answer: TransformStamped) -> np.ndarray:
    t, r = answer.transform.translation, answer.transform.rotation
    return matrix(Rotation.from_quat([r.x, r.y, r.z, r.w]), (t.x, t.y, t.z))


def stamp_of(answer: TransformStamped) -> int:
    return Time.from_msg(answer.header.stamp).nanoseconds


def at(seconds: float) -> Time:
    return Time(nanoseconds=round(seconds * SECOND))


@pytest.fixture
def moving() -> tf2_ros.Buffer:
    """Odom -> base moves 1 m/s along x from 1 s to 3 s; base -> camera is fixed 0.5 m ahead."""
    buffer = tf2_ros.Buffer()
    for second in (1, 2, 3):
        buffer.set_transform(message('odom', 'base', second * SECOND, shifted(second)), 'test')
    buffer.set_transform_static(message('base', 'camera', 0, shifted(0.5)), 'test')
    return buffer


@settings(max_examples=60, deadline=None)
@given(poses=st.lists(pose, min_size=4, max_size=4))
def test_a_chain_is_the_product_of_its_links(poses) -> None:
    buffer = tf2_ros.Buffer()
    root_from_a, a_from_b, root_from_c, c_from_d = poses
    links = [('root', 'a', root_from_a), ('a', 'b', a_from_b), ('root', 'c', root_from_c)]
    for parent, child, link in [*links, ('c', 'd', c_from_d)]:
        buffer.set_transform(message(parent, child, SECOND, link), 'test')
    d_from_b = np.linalg.inv(root_from_c @ c_from_d) @ root_from_a @ a_from_b
    for target, source, expected in [
        ('d', 'b', d_from_b),
        ('b', 'd', np.linalg.inv(d_from_b)),
        ('root', 'b', root_from_a @ a_from_b),
        ('b', 'root', np.linalg.inv(root_from_a @ a_from_b)),
        ('a', 'b', a_from_b),
        ('a', 'a', np.eye(4)),
    ]:
        answer = buffer.lookup_transform(target, source, Time())
        assert (answer.header.frame_id, answer.child_frame_id) == (target, source)
        np.testing.assert_allclose(as_matrix(answer), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(before=pose, after=pose, share=st.floats(0, 1))
def test_between_two_times_the_rotation_is_slerped(before, after, share) -> None:
    buffer = tf2_ros.Buffer()
    buffer.set_transform(message('odom', 'base', SECOND, before), 'test')
    buffer.set_transform(message('odom', 'base', 2 * SECOND, after), 'test')
    stamp = SECOND + round(share * SECOND)
    share = (stamp - SECOND) / SECOND
    answer = buffer.lookup_transform('odom', 'base', Time(nanoseconds=stamp))
    assert stamp_of(answer) == stamp
    turns = Slerp([0, 1], Rotation.from_matrix(np.stack([before[:3, :3], after[:3, :3]])))
    expected = matrix(turns(share), (1 - share) * before[:3, 3] + share * after[:3, 3])
    np.testing.assert_allclose(as_matrix(answer), expected, atol=1e-6)


def test_time_zero_means_the_latest_time_of_the_whole_chain(moving) -> None:
    moving.set_transform(message('camera', 'lens', int(2.5 * SECOND), shifted(0.1)), 'test')
    moving.set_transform(message('camera', 'lens', 2 * SECOND, shifted(0.0)), 'test')
    answer = moving.lookup_transform('odom', 'lens', Time())
    assert stamp_of(answer) == int(2.5 * SECOND)
    assert answer.transform.translation.x == pytest.approx(2.5 + 0.5 + 0.1)
    assert moving.get_latest_common_time('odom', 'lens').nanoseconds == int(2.5 * SECOND)


def test_a_static_chain_holds_at_every_time(moving) -> None:
    assert stamp_of(moving.lookup_transform('base', 'camera', Time())) == 0
    answer = moving.lookup_transform('camera', 'base', at(1e6))
    assert stamp_of(answer) == 10**6 * SECOND
    assert answer.transform.translation.x == pytest.approx(-0.5)


def test_the_full_look_up_goes_between_two_times(moving) -> None:
    answer = moving.lookup_transform_full('camera', at(3), 'camera', at(1), 'odom')
    assert answer.transform.translation.x == pytest.approx(-2.0)
    assert stamp_of(answer) == 3 * SECOND
    assert not moving.can_transform_full('camera', at(4), 'camera', at(1), 'odom')


@pytest.mark.parametrize(
    ('target', 'source', 'when', 'error', 'sentence'),
    [
        ('odom', 'camera', 5.0, tf2_ros.ExtrapolationException, 'into the future.*5.0.*3.0'),
        ('odom', 'camera', 0.5, tf2_ros.ExtrapolationException, 'into the past.*0.5.*1.0'),
        ('camera', 'odom', 5.0, tf2_ros.ExtrapolationException, r'from frame \[odom\] to frame'),
        ('odom', 'nose', 0.0, tf2_ros.LookupException, '"nose" passed to .* does not exist'),
        ('odom', 'elsewhere', 0.0, tf2_ros.ConnectivityException, 'not part of the same tree'),
        ('', 'odom', 0.0, tf2_ros.InvalidArgumentException, 'cannot be empty'),
        ('/odom', 'base', 0.0, tf2_ros.InvalidArgumentException, "cannot start with a '/'"),
    ],
)
def test_what_cannot_be_answered_is_said(moving, target, source, when, error, sentence) -> None:
    moving.set_transform_static(message('other', 'elsewhere', 0, shifted(1)), 'test')
    with pytest.raises(error, match=sentence) as caught:
        moving.lookup_transform(target, source, at(when))
    assert isinstance(caught.value, tf2_ros.TransformException)
    possible, reason = moving.can_transform(target, source, at(when), return_debug_tuple=True)
    assert not possible
    assert reason


def test_one_transform_alone_says_its_only_time() -> None:
    buffer = tf2_ros.Buffer()
    buffer.set_transform(message('odom', 'base', SECOND, shifted(1)), 'test')
    with pytest.raises(tf2_ros.ExtrapolationException, match=r'only time 1\.0'):
        buffer.lookup_transform('odom', 'base', at(2))


def test_the_past_is_kept_for_ten_seconds_only() -> None:
    buffer = tf2_ros.Buffer()
    for second in range(1, 31):
        buffer.set_transform(message('odom', 'base', second * SECOND, shifted(second)), 'test')
    assert buffer.can_transform('odom', 'base', at(20.5))
    assert not buffer.can_transform('odom', 'base', at(18.5))
    buffer.set_transform(message('odom', 'base', 5 * SECOND, shifted(0)), 'test')
    assert not buffer.can_transform('odom', 'base', at(5))


def test_transforms_may_come_out_of_order() -> None:
    buffer = tf2_ros.Buffer()
    for second in (3, 1, 2):
        buffer.set_transform(message('odom', 'base', second * SECOND, shifted(second)), 'test')
    assert as_matrix(buffer.lookup_transform('odom', 'base', at(1.5)))[0, 3] == pytest.approx(1.5)
    assert as_matrix(buffer.lookup_transform('odom', 'base', Time()))[0, 3] == pytest.approx(3)


@pytest.mark.parametrize(
    ('parent', 'child', 'x', 'scale'),
    [
        ('odom', 'odom', 1.0, 1.0),
        ('odom', '', 1.0, 1.0),
        ('', 'base', 1.0, 1.0),
        ('odom', 'base', float('nan'), 1.0),
        ('odom', 'base', 1.0, 0.0),
        ('odom', 'base', 1.0, 1.1),
    ],
)
def test_an_invalid_transform_is_ignored(parent, child, x, scale) -> None:
    buffer = tf2_ros.Buffer()
    broken = message(parent, child, SECOND, np.eye(4))
    broken.transform.translation.x = x
    broken.transform.rotation.w *= scale
    buffer.set_transform(broken, 'test')
    assert buffer._getFrameStrings() == []


def test_a_slash_before_a_sent_name_is_dropped() -> None:
    buffer = tf2_ros.Buffer()
    buffer.set_transform_static(message('/odom', '/base', 0, shifted(1)), 'test')
    assert buffer.can_transform('odom', 'base', Time())


def test_a_frame_may_get_another_parent() -> None:
    buffer = tf2_ros.Buffer()
    buffer.set_transform(message('odom', 'base', SECOND, shifted(1)), 'test')
    buffer.set_transform(message('map', 'base', 2 * SECOND, shifted(7)), 'test')
    assert as_matrix(buffer.lookup_transform('map', 'base', Time()))[0, 3] == pytest.approx(7)
    with pytest.raises(tf2_ros.ConnectivityException):
        buffer.lookup_transform('odom', 'base', Time())


def test_a_loop_is_an_error_and_no_endless_search() -> None:
    buffer = tf2_ros.Buffer()
    for parent, child in (('a', 'b'), ('b', 'c'), ('c', 'a'), ('x', 'y')):
        buffer.set_transform_static(message(parent, child, 0, shifted(1)), 'test')
    with pytest.raises(tf2_ros.LookupException, match='loop'):
        buffer.lookup_transform('x', 'a', at(1))


def test_clearing_forgets_the_transforms_but_not_the_names(moving) -> None:
    moving.clear()
    assert not moving.can_transform('odom', 'camera', Time())
    assert set(moving._getFrameStrings()) == {'odom', 'base', 'camera'}


def test_clearing_keeps_static_transforms(moving) -> None:
    """They are sent once; forgotten after a jump of time, they would never come again."""
    moving.clear()
    assert moving.can_transform('base', 'camera', Time())


def test_the_tree_can_be_shown(moving) -> None:
    assert "camera: \n  parent: 'base'" in moving.all_frames_as_yaml()
    assert 'Frame base exists with parent odom.' in moving.all_frames_as_string()
    assert set(moving._getFrameStrings()) == {'odom', 'base', 'camera'}


def test_a_look_up_waits_for_its_transform(moving) -> None:
    late = message('odom', 'base', 4 * SECOND, shifted(4))
    timer = threading.Timer(0.2, moving.set_transform, (late, 'test'))
    timer.start()
    begin = time.monotonic()
    answer = moving.lookup_transform('odom', 'base', at(3.5), Duration(seconds=10))
    assert 0.15 < time.monotonic() - begin < 2.0
    assert answer.transform.translation.x == pytest.approx(3.5)
    timer.join()


def test_a_look_up_gives_up_after_its_timeout(moving) -> None:
    begin = time.monotonic()
    with pytest.raises(tf2_ros.ExtrapolationException):
        moving.lookup_transform('odom', 'base', at(9), Duration(seconds=0.2))
    assert 0.15 < time.monotonic() - begin < 2.0
    begin = time.monotonic()
    assert not moving.can_transform('odom', 'base', at(9))
    assert time.monotonic() - begin < 0.1


def test_a_future_is_done_when_its_transform_comes(moving) -> None:
    future = moving.wait_for_transform_async('odom', 'base', at(3.5))
    assert not future.done()
    moving.set_transform(message('odom', 'base', 4 * SECOND, shifted(4)), 'test')
    assert future.done()
    assert moving.wait_for_transform_async('odom', 'base', at(3.5)).done()
