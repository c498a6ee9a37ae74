# SPDX-License-Identifier: Apache-2.0
"""How two windows lie to each other, from the points that both found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from exact_views import ExactViews, lens, walk
from exact_windows import random_similarity, seen_by_two, window_points

from flowcam_ros.flowmap.window_relation import Relation, WindowPoints, relate
from flowcam_ros.geometry.similarity import inverse, moved_points, scale_of, similarity

FRAMES = 8
ONE, OTHER = range(5), range(3, 8)


@pytest.fixture(scope='module')
def views() -> ExactViews:
    return ExactViews(walk(FRAMES), lens())


def pair(
    views: ExactViews, noise_px: float = 0.0, one: range = ONE, other: range = OTHER
) -> tuple[list[WindowPoints], np.ndarray]:
    """Return two windows, and first_from_second."""
    points = seen_by_two(views, views.points(500))
    tracks = views.tracks(views.points(500), noise_px=noise_px)
    random = np.random.default_rng(2)
    worlds = [random_similarity(random) for _ in range(2)]
    windows = [
        window_points(views, points, tracks, frames, world)
        for frames, world in zip((one, other), worlds, strict=True)
    ]
    return windows, inverse(worlds[0]) @ worlds[1]


def error(found: Relation | None, truth: np.ndarray) -> np.ndarray:
    """Return the error step in units of what is claimed."""
    assert found is not None
    return found.root_information @ found.error(np.eye(4), truth)


def test_exact_windows_have_their_exact_relation(views: ExactViews) -> None:
    windows, truth = pair(views)
    found = relate(0, 1, windows)
    assert found is not None
    assert np.allclose(found.first_from_second, truth, atol=1e-4)
    assert (found.first, found.second) == (0, 1)
    assert found.points > 100


def test_noise_is_within_what_is_claimed(views: ExactViews) -> None:
    windows, truth = pair(views, noise_px=0.5)
    step = error(relate(0, 1, windows), truth)
    assert np.abs(step).max() < 3.0


def test_windows_without_common_frames_are_related_by_what_both_see(views: ExactViews) -> None:
    windows, truth = pair(views, one=range(3), other=range(3, 7))
    # points get their numbers from tracks over all frames, as those of loops do
    found = relate(0, 1, windows)
    assert found is not None
    assert np.allclose(found.first_from_second, truth, atol=1e-3)


def test_a_third_of_wrong_points_does_no_harm(views: ExactViews) -> None:
    windows, truth = pair(views)
    random = np.random.default_rng(0)
    wrong = random.random(len(windows[1].points)) < 0.33
    points = windows[1].points.copy()
    points[wrong] += random.normal(size=(int(wrong.sum()), 3)) * scale_of(truth)
    windows[1] = dataclasses.replace(windows[1], points=points)
    step = error(relate(0, 1, windows), truth)
    assert np.abs(step).max() < 1.0


def test_windows_that_have_different_things_in_view_are_not_related(views: ExactViews) -> None:
    windows, _ = pair(views)
    random = np.random.default_rng(0)
    number = np.sort(random.permutation(10_000)[: len(windows[1].number)])
    other = dataclasses.replace(windows[1], number=number)
    assert relate(0, 1, [windows[0], other]) is None
    mistaken = dataclasses.replace(windows[1], number=windows[1].number + 1)
    assert relate(0, 1, [windows[0], mistaken]) is None


def test_the_error_of_a_relation_is_that_about_its_centre(views: ExactViews) -> None:
    windows, _ = pair(views)
    found = relate(0, 1, windows)
    assert found is not None
    turned = similarity(np.array([0.0, 0.0, 0.0, 0.0, 0.02, 0.0, 0.01]))
    shift = np.eye(4)
    shift[:3, 3] = found.centre
    moved = found.first_from_second @ shift @ turned @ inverse(shift)
    step = found.error(np.eye(4), moved)
    assert np.allclose(step, [0.0, 0.0, 0.0, 0.0, 0.02, 0.0, 0.01], atol=1e-9)
    centre = moved_points(moved, found.centre[None])
    assert np.allclose(centre, moved_points(found.first_from_second, found.centre[None]))
