# SPDX-License-Identifier: Apache-2.0
"""How frames are cut into windows, and what belongs to each."""

from __future__ import annotations

import itertools

import numpy as np
from exact_views import ExactViews, lens, walk
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.flowmap.correspondences import Correspondences
from flowcam_ros.flowmap.windows import (
    correspondences_in,
    one_of,
    thinned,
    tracks_of,
    windows_of,
)


@given(st.integers(2, 3000), st.integers(8, 300), st.floats(0.05, 0.6))
def test_windows_cover_all_frames_and_overlap(frames: int, most: int, overlap: float) -> None:
    windows = windows_of(frames, most, overlap)
    assert windows[0].start == 0
    assert windows[-1].stop == frames
    assert {len(w) for w in windows} == {len(windows[0])}
    assert len(windows[0]) <= most
    for one, other in itertools.pairwise(windows):
        shared = one.stop - other.start
        assert shared >= max(3, int(overlap * len(one)))
        assert other.start > one.start


@given(st.integers(2, 100))
def test_few_enough_frames_are_one_window(frames: int) -> None:
    assert windows_of(frames, 100, 0.2) == [range(frames)]


def test_there_are_no_more_windows_than_it_takes() -> None:
    assert len(windows_of(101, 100, 0.2)) == 2
    assert len(windows_of(180, 100, 0.2)) == 2
    assert len(windows_of(181, 100, 0.2)) == 3


def test_a_window_has_what_its_frames_see() -> None:
    views = ExactViews(walk(7), lens())
    tracks = views.tracks(views.points(120))
    found = Correspondences(views.pairs(2, 50), tracks, tracks)
    part, number = correspondences_in(found, range(2, 6))
    assert {(p.first, p.second) for p in part.pairs} == {
        (0, 1), (1, 2), (2, 3), (0, 2), (1, 3)
    }  # fmt: skip
    assert len(number) == part.followed.points + part.matched.points
    # every observation is one of the whole, of the point that its number says
    whole = {(int(p), int(f), *xy) for p, f, xy in
             zip(tracks.point, tracks.frame, tracks.pixel.tolist(), strict=True)}  # fmt: skip
    first = number[: part.followed.points]
    for own, numbers in ((part.followed, first), (part.matched, number[len(first) :])):
        offset = 0 if own is part.followed else tracks.points
        for p, f, xy in zip(own.point, own.frame, own.pixel.tolist(), strict=True):
            assert (int(numbers[p]) - offset, int(f) + 2, *xy) in whole
        inside = (tracks.frame >= 2) & (tracks.frame < 6)
        seen = np.bincount(tracks.point[inside])
        assert len(own) == seen[seen > 1].sum()


def test_numbers_of_points_are_kept() -> None:
    views = ExactViews(walk(5), lens())
    tracks = views.tracks(views.points(60))
    part, number = tracks_of(tracks, tracks.frame < 2)
    assert set(part.frame) == {0, 1}
    assert (np.diff(number) > 0).all()
    assert (np.bincount(part.point) == 2).all()
    for old, new in zip(number, range(part.points), strict=True):
        pixels = tracks.pixel[(tracks.point == old) & (tracks.frame < 2)]
        assert (part.pixel[part.point == new] == pixels).all()


def test_thinned_tracks_keep_whole_points() -> None:
    views = ExactViews(walk(5), lens())
    tracks = views.tracks(views.points(3000))
    assert thinned(tracks, 1) is tracks
    some = thinned(tracks, 3)
    assert some.points == -(-tracks.points // 3)
    for k in range(some.points):
        assert (some.pixel[some.point == k] == tracks.pixel[tracks.point == 3 * k]).all()


def test_frames_with_few_observations_keep_all_of_their_points() -> None:
    views = ExactViews(walk(5), lens())
    tracks = views.tracks(views.points(3000))
    poor = tracks_of(tracks, (tracks.frame != 2) | (tracks.point < 150))[0]
    some = thinned(poor, 4)
    assert np.count_nonzero(some.frame == 2) == np.count_nonzero(poor.frame == 2) <= 150
    assert np.count_nonzero(some.frame == 0) < 0.35 * np.count_nonzero(poor.frame == 0)


def test_thinning_more_keeps_fewer() -> None:
    views = ExactViews(walk(20), lens())
    tracks = views.tracks(views.points(6000))
    sizes = [len(thinned(tracks, k)) for k in (1, 2, 4, 8, 16, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < 0.3 * sizes[0]
    some = thinned(tracks, 64)
    assert np.bincount(some.frame).min() >= 200
    assert len(some) < 0.25 * len(tracks)


def test_as_many_points_are_kept_as_may_be() -> None:
    views = ExactViews(walk(5), lens())
    tracks = views.tracks(views.points(3000))
    assert one_of(len(tracks), len(tracks)) == 1
    half = thinned(tracks, one_of(len(tracks), len(tracks) // 2 + 1))
    assert 0.4 * len(tracks) < len(half) < 0.6 * len(tracks)
    assert set(half.frame) == set(tracks.frame)
