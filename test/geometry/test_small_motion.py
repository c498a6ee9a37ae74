# SPDX-License-Identifier: Apache-2.0
"""Steps of a solver: there and back, left and right of a pose, like se3.exp where small."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.small_motion import small_motion, small_step

STEPS = arrays(np.float64, 6, elements=st.floats(-1.5, 1.5))
POSE = torch.from_numpy(se3.exp(np.array([1.0, -2.0, 0.5, 0.4, 0.2, -0.9])))


@given(STEPS)
def test_step_inverts_motion(step: np.ndarray) -> None:
    motion = small_motion(torch.from_numpy(step))
    np.testing.assert_allclose(small_step(motion), step, atol=1e-8)


@pytest.mark.parametrize('angle', [0.0, 1e-12, 1e-6, 1e-3, 1.0, 3.0])
def test_step_inverts_motion_at_any_angle(angle: float) -> None:
    step = torch.tensor([1.0, 2.0, 3.0, 0.0, -0.6 * angle, 0.8 * angle], dtype=torch.float64)
    torch.testing.assert_close(small_step(small_motion(step)), step, atol=1e-11, rtol=1e-9)


@given(STEPS)
def test_a_motion_turns_then_shifts(step: np.ndarray) -> None:
    motion = small_motion(torch.from_numpy(step)).numpy()
    turn = se3.exp(np.concatenate([np.zeros(3), step[3:]]))
    np.testing.assert_allclose(motion[:3, :3], turn[:3, :3], atol=1e-12)
    np.testing.assert_array_equal(motion[:, 3], [*step[:3], 1.0])


@given(STEPS)
def test_small_steps_agree_with_the_exponential(step: np.ndarray) -> None:
    """What they differ by falls with the square of the step."""
    h = 1e-4
    exact = se3.exp(h * step)
    np.testing.assert_allclose(small_motion(torch.from_numpy(h * step)), exact, atol=10 * h**2)


def test_on_the_left_a_motion_is_in_target_axes_and_on_the_right_in_source_axes() -> None:
    step = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.0, 0.0], dtype=torch.float64)
    shift = step[:3]
    left, right = small_motion(step) @ POSE, POSE @ small_motion(step)
    torch.testing.assert_close(left[:3, 3], POSE[:3, 3] + shift)
    torch.testing.assert_close(right[:3, 3], POSE[:3, 3] + POSE[:3, :3] @ shift)
    turn = torch.tensor([0.0, 0.0, 0.0, 0.1, -0.2, 0.3], dtype=torch.float64)
    torch.testing.assert_close((POSE @ small_motion(turn))[:3, 3], POSE[:3, 3])
    seen_left = small_step(small_motion(turn) @ POSE @ torch.linalg.inv(POSE))
    torch.testing.assert_close(seen_left[3:], turn[3:])


def test_a_batch_is_as_good_as_one_by_one() -> None:
    steps = torch.randn(3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    motions = small_motion(0.5 * steps)
    assert motions.shape == (3, 4, 4, 4)
    torch.testing.assert_close(motions[1, 2], small_motion(0.5 * steps[1, 2]))
    torch.testing.assert_close(small_step(motions), 0.5 * steps)
