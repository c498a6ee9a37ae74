# SPDX-License-Identifier: Apache-2.0
"""A budget of memory is obeyed by the plan, or refused in a line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.errors import ConfigError
from flowcam_ros.flowmap.memory_model import Recording, active_frames, estimate
from flowcam_ros.flowmap.memory_plan import plan_memory
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.settings import build

USUAL = 20480


def config(**options: object) -> RefineConfig:
    return build(RefineConfig, {key.replace('__', '.'): value for key, value in options.items()})


def test_without_a_budget_the_options_stay_as_they_are() -> None:
    usual = config()
    plan = plan_memory(Recording(5000, USUAL), usual)
    assert plan.config == usual
    assert plan.thinned == 1
    assert 'budget' not in plan.words(5000)


@given(st.integers(10, 1000), st.floats(0.6, 20.0), st.sampled_from([4096, USUAL, 100_000]))
def test_a_plan_is_within_its_budget_or_there_is_none(
    frames: int, budget: float, pixels: int
) -> None:
    asked = config(memory_gb=budget)
    try:
        plan = plan_memory(Recording(frames, pixels), asked)
    except ConfigError as error:
        least = re.search(r'at least about ([0-9.]+) GB', str(error))
        assert least is not None
        assert float(least.group(1)) > budget - 0.06
        return
    assert plan.estimate.peak <= budget * 1e9
    assert plan.config.windows.frames >= 24
    assert plan.config.optimizer.chunk <= plan.config.optimizer.held


def test_activations_are_given_up_before_windows_and_windows_before_frames() -> None:
    recording = Recording(128, 100_000)
    free = plan_memory(recording, config()).estimate.peak * 1e-9
    little = plan_memory(recording, config(memory_gb=0.8 * free))
    assert little.config.optimizer.held < 64
    assert little.config.windows.frames == 128
    less = plan_memory(recording, config(memory_gb=0.35 * free))
    assert less.config.windows.frames < 128
    with pytest.raises(ConfigError, match=r'memory_gb: 128 frames .* fewer frames'):
        plan_memory(recording, config(memory_gb=0.1 * free))


def test_points_are_thinned_where_the_last_adjustment_is_what_takes_most() -> None:
    recording = Recording(900, 4096)
    options = {'dense__pixels': 1000, 'tracks__points': 4000, 'polish__observations': 10**9}
    whole = estimate(recording, config(**options))
    budget = 0.97e-9 * whole.adjusting
    plan = plan_memory(recording, config(memory_gb=budget, **options))
    assert plan.thinned > 1
    assert f'one of {plan.thinned} points' in plan.words(900)


@given(st.integers(2, 2000), st.integers(1, 300), st.integers(1, 64), st.integers(1, 8))
def test_activations_are_bounded(frames: int, held: int, chunk: int, threads: int) -> None:
    asked = config(optimizer__held=held, optimizer__chunk=chunk, threads=threads)
    assert 1 <= active_frames(frames, asked) <= max(held, threads)


def test_more_of_anything_takes_no_less() -> None:
    usual = config()
    least = estimate(Recording(100, USUAL), usual)
    for more in (
        estimate(Recording(200, USUAL), usual),
        estimate(Recording(100, 2 * USUAL), usual),
        estimate(Recording(100, USUAL), config(pairs__features=6000)),
        estimate(Recording(100, USUAL), config(optimizer__held=200)),
    ):
        assert more.peak >= least.peak


def test_the_plan_is_told_in_a_line() -> None:
    told = plan_memory(Recording(400, USUAL), config(memory_gb=4.0)).words(400)
    assert re.fullmatch(
        r'about \d\.\d GB of memory for 400 frames \(budget 4 GB\), in windows of at most 128',
        told,
    )
