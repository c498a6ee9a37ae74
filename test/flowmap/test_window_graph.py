# SPDX-License-Identifier: Apache-2.0
"""Windows in one world: chains, loops, mistakes and pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact_windows import random_similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from flowcam_ros.flowmap.window_graph import join
from flowcam_ros.flowmap.window_relation import Relation
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.similarity import inverse, scale_of, similarity

# Standard deviations of a relation in these tests.
SIGMA = np.array([0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.02])


def relation(
    first: int,
    second: int,
    worlds: list[Matrix4],
    error: np.ndarray | None = None,
    unit: float = 1.0,
) -> Relation:
    """Return what is measured between two windows, with an error step, lengths in any unit."""
    exact = inverse(worlds[first]) @ worlds[second]
    step = np.zeros(7) if error is None else error
    centre = np.array([0.0, 0.0, 3.0 * (unit - 1.0)])
    sigma = SIGMA * np.repeat([unit, 1.0], (3, 4))
    return Relation(first, second, exact @ similarity(step), centre, np.diag(1.0 / sigma), 100)


def circle(count: int) -> list[Matrix4]:
    """Return worlds around a circle of radius 2 that look inwards, of different units."""
    worlds = []
    for k in range(count):
        angle = 2 * np.pi * k / count
        place = [2 * np.cos(angle), 2 * np.sin(angle), 0.0]
        worlds.append(similarity(np.array([*place, 0.0, 0.0, angle, 0.1 * np.sin(k)])))
    return [inverse(worlds[0]) @ world for world in worlds]


def windows(count: int) -> list[range]:
    """Return frames of windows, each sharing two with the next."""
    return [range(8 * k, 8 * k + 10) for k in range(count)]


def off(found: list[Matrix4 | None], truth: list[Matrix4]) -> np.ndarray:
    """Return how far each window's origin is off."""
    return np.array([
        np.linalg.norm(world[:3, 3] - true[:3, 3])
        for world, true in zip(found, truth, strict=True)
        if world is not None
    ])  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(0, 10_000), st.booleans())
def test_exact_relations_give_the_exact_worlds(count: int, seed: int, backwards: bool) -> None:
    random = np.random.default_rng(seed)
    worlds = [random_similarity(random) for _ in range(count)]
    ends = [(k, k + 1) for k in range(count - 1)] + ([(0, count - 1)] if count > 2 else [])
    if backwards:
        ends = [(b, a) for a, b in ends]
    found = join(windows(count), [10] * count, [relation(a, b, worlds) for a, b in ends])
    for world, true in zip(found, worlds, strict=True):
        assert world is not None
        assert np.allclose(world, inverse(worlds[0]) @ true, atol=1e-5)


def test_a_loop_spreads_what_a_chain_gathers() -> None:
    worlds = circle(8)
    random = np.random.default_rng(3)
    chain = [relation(k, k + 1, worlds, SIGMA * random.normal(size=7)) for k in range(7)]
    open_, closed = (
        join(windows(8), [10] * 8, chain),
        join(windows(8), [10] * 8, [*chain, relation(0, 7, worlds)]),
    )
    assert off(closed, worlds)[-1] < 0.3 * off(open_, worlds)[-1]
    assert off(closed, worlds).mean() < 0.7 * off(open_, worlds).mean()
    last = closed[-1]
    assert last is not None
    assert abs(np.log(scale_of(last) / scale_of(worlds[-1]))) < 0.03


def test_a_loop_that_contradicts_all_others_is_left_out() -> None:
    worlds = circle(8)
    random = np.random.default_rng(1)
    chain = [relation(k, k + 1, worlds, 0.3 * SIGMA * random.normal(size=7)) for k in range(7)]
    chain += [relation(0, 7, worlds), relation(2, 6, worlds)]
    wrong = relation(1, 5, worlds, np.array([3.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.5]))
    with_it, without = (
        join(windows(8), [10] * 8, [*chain, wrong]),
        join(windows(8), [10] * 8, chain),
    )
    assert np.allclose(off(with_it, worlds), off(without, worlds), atol=1e-6)


def test_the_piece_with_most_frames_stays() -> None:
    worlds = circle(5)
    found = join(windows(5), [5, 5, 20, 20, 5], [relation(0, 1, worlds), relation(2, 3, worlds)])
    assert [world is None for world in found] == [True, True, False, False, True]
    assert found[2] is not None
    assert np.allclose(found[2], np.eye(4))


def test_one_window_is_the_world() -> None:
    assert np.allclose(join(windows(1), [7], [])[0], np.eye(4))


def test_windows_that_overlap_beyond_the_next_one_are_no_loop() -> None:
    worlds = circle(4)
    chain = [relation(k, k + 1, worlds) for k in range(3)]
    wrong = relation(0, 2, worlds, np.array([5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    overlapping = [range(3 * k, 3 * k + 10) for k in range(4)]
    found = join(overlapping, [10] * 4, [*chain, wrong])
    assert off(found, worlds)[1] > 0.01
    assert off(join(windows(4), [10] * 4, [*chain, wrong]), worlds).max() < 1e-6


@pytest.mark.parametrize('unit', [1.0, 10.0])
def test_many_windows_are_joined_in_few_steps_in_any_unit(
    unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def counted(*args: Any, **options: Any) -> Any:
        fit = least_squares(*args, **options)
        steps.append(fit.nfev)
        return fit

    monkeypatch.setattr('flowcam_ros.flowmap.window_graph.least_squares', counted)
    worlds = circle(40)
    for world in worlds:
        world[:3, 3] *= unit
    random = np.random.default_rng(0)
    ends = [(k, k + step) for step in (1, 2, 20) for k in range(40 - step)]
    scale = 0.1 * SIGMA * np.repeat([unit, 1.0], (3, 4))
    measured = [relation(a, b, worlds, scale * random.normal(size=7), unit) for a, b in ends]
    found = join(windows(40), [10] * 40, measured)
    assert off(found, worlds).max() < 0.03 * unit
    assert sum(steps) < 40
