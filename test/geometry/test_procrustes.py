# SPDX-License-Identifier: Apache-2.0
"""The weighted rigid fit: exact, proper, and with gradients that stay finite."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry.procrustes import weighted_procrustes


def random_points(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, 3, dtype=torch.float64, generator=generator)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40))
def test_recovers_an_exact_motion(seed: int, count: int) -> None:
    source = random_points(seed, count)
    rotation = torch.from_numpy(Rotation.random(random_state=seed).as_matrix())
    translation = random_points(seed + 1, 1)[0]
    target = source @ rotation.T + translation
    weights = torch.rand(count, dtype=torch.float64) + 0.1
    fit = weighted_procrustes(source, target, weights)
    if float(fit.conditioning) > 1e-3:
        torch.testing.assert_close(fit.rotation, rotation, atol=1e-8, rtol=0)
        torch.testing.assert_close(fit.translation, translation, atol=1e-8, rtol=0)
    torch.testing.assert_close(torch.linalg.det(fit.rotation).item(), 1.0, atol=1e-9, rtol=0)


def test_ignores_points_without_weight() -> None:
    source = random_points(0, 20)
    target = source + torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    target[:5] += 100.0
    weights = torch.ones(20, dtype=torch.float64)
    weights[:5] = 0.0
    fit = weighted_procrustes(source, target, weights)
    torch.testing.assert_close(fit.rotation, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(fit.translation, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))


def test_mirrored_points_still_give_a_proper_rotation() -> None:
    source = random_points(1, 30)
    target = source * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    fit = weighted_procrustes(source, target, torch.ones(30, dtype=torch.float64))
    assert torch.linalg.det(fit.rotation).item() == pytest.approx(1.0)


def test_batches_are_independent() -> None:
    source, target = random_points(2, 4, 10), random_points(3, 4, 10)
    weights = torch.rand(4, 10, dtype=torch.float64)
    together = weighted_procrustes(source, target, weights)
    for i in range(4):
        alone = weighted_procrustes(source[i], target[i], weights[i])
        torch.testing.assert_close(together.rotation[i], alone.rotation)
        torch.testing.assert_close(together.translation[i], alone.translation)


@pytest.mark.parametrize(
    'source',
    [
        torch.zeros(5, 3, dtype=torch.float64),
        torch.arange(15, dtype=torch.float64).reshape(5, 3),  # on a line
    ],
    ids=['one place', 'a line'],
)
def test_degenerate_points_are_reported_and_finite(source: torch.Tensor) -> None:
    fit = weighted_procrustes(source, source, torch.ones(5, dtype=torch.float64))
    assert float(fit.conditioning) < 1e-6
    assert torch.isfinite(fit.rotation).all()
    assert torch.isfinite(fit.translation).all()


def test_no_weight_at_all_is_finite_and_reported() -> None:
    points = random_points(4, 6)
    fit = weighted_procrustes(points, points, torch.zeros(6, dtype=torch.float64))
    assert float(fit.conditioning) == 0.0
    assert torch.isfinite(fit.rotation).all()


def fit_outputs(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    fit = weighted_procrustes(*inputs)
    return fit.rotation, fit.translation


def test_gradients_match_finite_differences() -> None:
    inputs = (random_points(5, 2, 7), random_points(6, 2, 7), torch.rand(2, 7).double() + 0.1)
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(fit_outputs, inputs)


def test_gradients_are_right_where_singular_values_are_equal() -> None:
    """The backward pass of an SVD breaks here; the rotation itself is smooth."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    inputs = (axes.clone(), axes.clone(), torch.ones(6, dtype=torch.float64))
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(fit_outputs, inputs)


def test_gradients_are_finite_where_the_rotation_is_undefined() -> None:
    line = torch.arange(15, dtype=torch.float64).reshape(5, 3).requires_grad_()
    fit = weighted_procrustes(line, line.detach(), torch.ones(5, dtype=torch.float64))
    fit.rotation.sum().backward()
    assert line.grad is not None
    assert torch.isfinite(line.grad).all()


def test_single_precision_inputs_give_single_precision_outputs() -> None:
    points = random_points(7, 8).float()
    fit = weighted_procrustes(points, points, torch.ones(8))
    assert fit.rotation.dtype == torch.float32
    torch.testing.assert_close(fit.rotation, torch.eye(3), atol=1e-5, rtol=0)
