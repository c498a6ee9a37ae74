# SPDX-License-Identifier: Apache-2.0
"""Which points take part in the bundle adjustment."""

from __future__ import annotations

import numpy as np

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.adjusted_tracks import tracks_to_adjust
from flowcam_ros.flowmap.correspondences import Correspondences

EVERYWHERE = np.ones(4, bool)


def tracks_in(frames: range, points: int) -> Tracks:
    """Return points that all of these frames see, each at a pixel of its own."""
    count = points * len(frames)
    pixel = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return Tracks(
        np.repeat(np.arange(points), len(frames)),
        np.tile(np.array(frames), points),
        pixel,
        np.ones(count, np.float32),
    )


def test_followed_points_are_not_needed_where_enough_are_matched() -> None:
    found = Correspondences([], tracks_in(range(4), 300), tracks_in(range(4), 50))
    tracks, number = tracks_to_adjust(found, EVERYWHERE)
    assert np.array_equal(number, 50 + np.arange(300))
    assert np.array_equal(tracks.pixel, found.matched.pixel)


def test_followed_points_hold_frames_where_few_are_matched() -> None:
    one, other = tracks_in(range(2), 30), tracks_in(range(1, 4), 40)
    followed = Tracks(
        np.concatenate([one.point, 30 + other.point]),
        np.concatenate([one.frame, other.frame]),
        np.concatenate([one.pixel, other.pixel]),
        np.concatenate([one.sigma, other.sigma]),
    )
    matched = tracks_in(range(3), 250)
    tracks, number = tracks_to_adjust(Correspondences([], matched, followed), EVERYWHERE)
    assert np.array_equal(number, np.r_[30 + np.arange(40), 70 + np.arange(250)])
    assert len(tracks) == len(other) + len(matched), 'with all that sees them'


def test_without_matches_all_followed_points_take_part() -> None:
    followed = tracks_in(range(4), 500)
    found = Correspondences([], tracks_in(range(4), 0), followed)
    tracks, number = tracks_to_adjust(found, EVERYWHERE)
    assert len(tracks) == len(followed) and len(number) == 500


def test_what_frames_without_a_pose_see_is_left_out() -> None:
    found = Correspondences([], tracks_in(range(4), 300), tracks_in(range(2, 4), 50))
    reached = np.array([True, True, False, True])
    tracks, number = tracks_to_adjust(found, reached)
    assert set(tracks.frame.tolist()) == {0, 1, 3}
    assert number.min() >= 50, 'one frame alone places no point'
