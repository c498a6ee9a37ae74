# SPDX-License-Identifier: Apache-2.0
"""What is known of a pair of poses: a quadratic cost, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.small_motion import small_motion
from flowcam_ros.odometry.pair_prior import PairPrior, stacked

CPU = torch.device('cpu')


def prior(seed: int) -> PairPrior:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(6, 6))
    return PairPrior(
        torch.from_numpy(se3.exp(rng.uniform(-1, 1, 6))),
        torch.from_numpy(root @ root.T),
        torch.from_numpy(rng.normal(size=6)),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_cost_is_the_quadratic_of_the_step_on_the_left(seed: int) -> None:
    known = prior(seed)
    step = torch.from_numpy(np.random.default_rng(seed + 1).uniform(-0.5, 0.5, 6))
    pose = small_motion(step) @ known.pose
    cost = known.gradient @ step + 0.5 * step @ known.hessian @ step
    torch.testing.assert_close(known.cost(pose), cost)
    torch.testing.assert_close(known.slope(pose), known.gradient + known.hessian @ step)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_slope_is_how_the_cost_rises(seed: int) -> None:
    """Near where it was taken; farther away the axes of a step have turned."""
    known = prior(seed)
    near = small_motion(torch.from_numpy(np.random.default_rng(seed).normal(0, 1e-4, 6)))
    pose, h = near @ known.pose, 1e-5
    for axis in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[axis] = h
        rise = known.cost(small_motion(step) @ pose) - known.cost(small_motion(-step) @ pose)
        assert float(rise) / (2 * h) == pytest.approx(float(known.slope(pose)[axis]), abs=5e-3)


def test_where_it_was_taken_it_costs_nothing() -> None:
    known = prior(0)
    assert float(known.cost(known.pose)) == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(known.slope(known.pose), known.gradient)


def test_a_batch_is_each_by_itself_and_none_is_nothing() -> None:
    one, two = prior(1), prior(2)
    batch = stacked([one, None, two], CPU)
    poses = torch.stack([small_motion(torch.full((6,), 0.1).double()) @ p for p in batch.pose])
    cost, slope = batch.cost(poses), batch.slope(poses)
    torch.testing.assert_close(cost[0], one.cost(poses[0]))
    torch.testing.assert_close(slope[2], two.slope(poses[2]))
    assert float(cost[1]) == 0.0
    assert not bool(slope[1].any())
