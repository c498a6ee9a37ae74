# SPDX-License-Identifier: Apache-2.0
"""Similarities: steps, inverses, what they do to points and poses, and fits."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowcam_ros.geometry.se3 import exp
from flowcam_ros.geometry.similarity import (
    fit_similarity,
    inverse,
    moved_points,
    moved_poses,
    scale_of,
    similarity,
    step_of,
)

steps = arrays(np.float64, 7, elements=st.floats(-1.5, 1.5))


@given(steps)
def test_a_step_is_read_back_from_its_similarity(step: np.ndarray) -> None:
    assert np.allclose(step_of(similarity(step)), step, atol=1e-9)


@given(steps)
def test_the_inverse_undoes(step: np.ndarray) -> None:
    one = similarity(step)
    assert np.allclose(inverse(one) @ one, np.eye(4), atol=1e-9)
    assert np.isclose(scale_of(inverse(one)), np.exp(-step[6]))


@given(steps, steps)
def test_poses_stay_rigid_and_see_the_same(step: np.ndarray, twist: np.ndarray) -> None:
    world, pose = similarity(step), exp(twist[:6])
    moved = moved_poses(world, pose[None])[0]
    assert np.allclose(moved[:3, :3] @ moved[:3, :3].T, np.eye(3), atol=1e-9)
    point = np.array([[0.3, -0.2, 2.0]])
    seen = (np.linalg.inv(pose) @ [*point[0], 1.0])[:3]
    after = (np.linalg.inv(moved) @ [*moved_points(world, point)[0], 1.0])[:3]
    assert np.allclose(after, scale_of(world) * seen, atol=1e-8)


@settings(deadline=None)
@given(steps, st.integers(3, 20), st.integers(0, 1000))
def test_a_fit_recovers_the_similarity_of_exact_points(
    step: np.ndarray, count: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    points, weight = random.normal(size=(count, 3)), random.uniform(0.1, 1.0, count)
    truth = similarity(step)
    found = fit_similarity(points, moved_points(truth, points), weight)
    # three points nearly on a line fix the turn about it badly
    assert np.allclose(moved_points(found, points), moved_points(truth, points), atol=1e-6)
    assert np.isclose(scale_of(found), scale_of(truth), rtol=1e-6)


def test_points_of_no_weight_do_not_count_and_many_fits_are_as_one() -> None:
    random = np.random.default_rng(0)
    truth = similarity(np.array([1.0, -2.0, 0.5, 0.2, 0.9, -0.4, 0.7]))
    source = random.normal(size=(2, 8, 3))
    target = np.stack([moved_points(truth, part) for part in source])
    weight = np.ones((2, 8))
    target[1, :3] += 10.0
    weight[1, :3] = 0.0
    for found in fit_similarity(source, target, weight):
        assert np.allclose(found, truth, atol=1e-9)


def test_a_mirrored_cloud_is_turned_and_never_mirrored() -> None:
    points = np.random.default_rng(0).normal(size=(30, 3))
    found = fit_similarity(points, points * [1.0, 1.0, -1.0], np.ones(30))
    assert np.linalg.det(found[:3, :3]) > 0


def test_points_in_one_place_keep_the_scale() -> None:
    found = fit_similarity(np.ones((5, 3)), np.full((5, 3), 3.0), np.ones(5))
    assert np.isclose(scale_of(found), 1.0)
    assert np.allclose(moved_points(found, np.ones((1, 3))), 3.0)
