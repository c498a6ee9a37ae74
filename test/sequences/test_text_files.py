# SPDX-License-Identifier: Apache-2.0
"""Stamps, trajectories and lists as text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.errors import FlowcamError, SequenceError, UsageError
from flowcam_ros.sequences.stamps import parse_stamp, seconds_text
from flowcam_ros.sequences.tum_file import read_trajectory

GOOD = '1.5 1 2 3 0 0 0 1\n'


@pytest.mark.parametrize(
    ('text', 'stamp'),
    [
        ('1403638543.077829376', 1403638543077829376),
        ('0', 0),
        ('1.7e9', 1700000000 * 10**9),
        ('-0.5', -500000000),
        ('0.0000000015', 2),
    ],
)
def test_stamps_are_exact(text, stamp):
    assert parse_stamp(text) == stamp


@pytest.mark.parametrize('text', ['', 'x', 'nan', 'inf', '1e30', '1e9999999', '1_0x', '1..0'])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match='not a time'):
        parse_stamp(text)


@given(st.integers(-(2**62), 2**62))
def test_stamps_survive_as_text(stamp):
    assert parse_stamp(seconds_text(stamp)) == stamp


def test_a_trajectory_is_read_with_comments_commas_and_a_byte_order_mark(tmp_path):
    path = tmp_path / 'path.tum'
    path.write_text(
        '\ufeff# header\n\n1.5, 1, 2, 3, 0, 0, 0, 1\n2.5 4 5 6 0 0 0.70710678 0.70710678 # note\n'
    )
    trajectory = read_trajectory(path)
    assert trajectory.stamps_ns.tolist() == [1500000000, 2500000000]
    assert trajectory.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.allclose(trajectory.world_from_camera[1, :3, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no pose in it'),
        ('# only a comment\n', 'no pose in it'),
        (GOOD + '2.5 1 2 3 0 0 0\n', 'line 2: 7 columns; expected 8'),
        (GOOD + '2.5 1 2 3 0 0 0 1 9\n', 'line 2: 9 columns'),
        (GOOD + '2.5 nan 2 3 0 0 0 1\n', 'line 2: NaN'),
        (GOOD + '2.5 1 inf 3 0 0 0 1\n', 'line 2: NaN or infinity'),
        (GOOD + '2.5 1 -1e300 3 0 0 0 1\n', r'line 2: a position beyond 1e\+12 m'),
        (GOOD + '2.5 1 two 3 0 0 0 1\n', "line 2: not a number.*'two'"),
        (GOOD + 'late 1 2 3 0 0 0 1\n', "line 2: 'late' is not a time"),
        (GOOD + '2.5 1 2 3 0 0 0 0\n', 'line 2: the quaternion has length 0'),
        (GOOD + GOOD, 'line 2: stamp 1.5 is not later'),
    ],
)
def test_a_wrong_line_is_named(text, message, tmp_path):
    path = tmp_path / 'path.tum'
    path.write_text(text)
    with pytest.raises(SequenceError, match=message) as error:
        read_trajectory(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / 'path.tum'
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(SequenceError, match='not a text file'):
        read_trajectory(path)
    with pytest.raises(SequenceError, match='cannot be read'):
        read_trajectory(tmp_path)
    with pytest.raises(UsageError, match=r'missing\.tum does not exist'):
        read_trajectory(tmp_path / 'missing.tum')


@given(st.text(alphabet='0123456789.-+einfa, #\n\t', max_size=200))
def test_any_text_gives_poses_or_a_clear_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp('tum') / 'path.tum'
    path.write_text(text)
    try:
        trajectory = read_trajectory(path)
    except FlowcamError as error:
        assert '\n' not in str(error)
    else:
        assert np.isfinite(trajectory.world_from_camera).all()
