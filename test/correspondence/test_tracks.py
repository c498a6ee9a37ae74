# SPDX-License-Identifier: Apache-2.0
"""Tracks of matches: what any matches add up to, whether they agree or not."""

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.correspondence.features import Features
from flowcam_ros.correspondence.pairs import PairMatches, consistent_pairs
from flowcam_ros.correspondence.tracks import (
    Tracks,
    joined,
    no_tracks,
    sorted_tracks,
    tracks_of_matches,
)


def features(count: int, picture: int = 0) -> Features:
    """Return features whose positions tell them apart: (number, picture)."""
    pixels = np.stack([np.arange(count), np.full(count, picture)], 1).astype(np.float32)
    return Features(pixels, np.zeros((count, 128), np.uint8))


def pair(first: int, second: int, index: object) -> PairMatches:
    found = np.array(index, np.int32).reshape(-1, 2)
    pixels = np.zeros((len(found), 2), np.float32)
    return PairMatches(first, second, found, pixels, pixels, 0.0)


def check(tracks: Tracks) -> None:
    order = np.lexsort((tracks.frame, tracks.point))
    np.testing.assert_array_equal(order, np.arange(len(tracks)))
    seen = np.stack([tracks.point, tracks.frame], 1)
    assert len(np.unique(seen, axis=0)) == len(tracks)
    counts = np.bincount(tracks.point, minlength=tracks.points)
    assert (counts >= 2).all()


def test_matches_along_a_chain_are_one_point() -> None:
    pairs = [pair(0, 1, [[0, 1]]), pair(1, 2, [[1, 0]]), pair(2, 3, [[0, 2]])]
    tracks = tracks_of_matches([features(3, k) for k in range(4)], pairs)
    check(tracks)
    assert tracks.points == 1
    assert tracks.frame.tolist() == [0, 1, 2, 3]
    assert tracks.pixel[:, 0].tolist() == [0, 1, 0, 2]


def test_a_match_that_brings_two_features_of_a_picture_together_is_left_out() -> None:
    """The stronger pairs say that features 0 and 1 of picture 0 are different points."""
    strong = [[k, k] for k in range(5)]
    pairs = [pair(0, 1, strong), pair(1, 2, strong), pair(0, 2, [[0, 1], [3, 3]])]
    tracks = tracks_of_matches([features(5, k) for k in range(3)], pairs)
    check(tracks)
    assert tracks.points == 5
    assert len(tracks) == 15


matches = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, 4), st.integers(0, 7), st.permutations(list(range(8)))
    ),
    max_size=12,
)


@given(matches)
def test_whatever_is_matched_each_point_is_seen_once_a_picture(drawn: list) -> None:
    pairs = [
        pair(a, b, [[k, m] for k, m in enumerate(order[:count])])
        for a, b, count, order in drawn
        if a < b
    ]
    pictures = [features(8, k) for k in range(5)]
    tracks = tracks_of_matches(pictures, pairs)
    check(tracks)
    rows = {(int(f), int(p)) for f, p in zip(tracks.frame, tracks.pixel[:, 0], strict=True)}
    matched = {(p.first, int(k)) for p in pairs for k in p.index[:, 0]}
    matched |= {(p.second, int(k)) for p in pairs for k in p.index[:, 1]}
    assert rows <= matched


def test_a_pair_that_contradicts_stronger_ones_is_refused() -> None:
    same = [[k, k] for k in range(60)]
    shifted = [[k, k + 1] for k in range(40)]
    pairs = [pair(0, 1, same), pair(1, 2, same), pair(0, 2, shifted)]
    kept = consistent_pairs([61, 61, 61], pairs)
    assert [(p.first, p.second) for p in kept] == [(0, 1), (1, 2)]


def test_joined_tracks_keep_their_points_apart() -> None:
    pixel, sigma = np.zeros((4, 2), np.float32), np.ones(4, np.float32)
    one = sorted_tracks(np.array([7, 7, 9, 9]), np.array([1, 0, 0, 1]), pixel, sigma)
    both = joined(one, no_tracks(), one)
    check(both)
    assert both.points == 4
    assert joined().points == 0


def test_no_pairs_and_no_pictures_give_no_tracks() -> None:
    assert tracks_of_matches([features(4)], []).points == 0
    assert tracks_of_matches([], []).points == 0


def test_a_thousand_pairs_of_a_thousand_matches_take_seconds() -> None:
    rng = np.random.default_rng(0)
    pictures = [features(3000, k) for k in range(100)]
    pairs = [
        pair(i, i + step, np.stack([rng.permutation(3000)[:1000] for _ in range(2)], 1))
        for step in range(1, 12)
        for i in range(100 - step)
    ][:1000]
    start = time.process_time()
    check(tracks_of_matches(pictures, pairs))
    assert time.process_time() - start < 5
