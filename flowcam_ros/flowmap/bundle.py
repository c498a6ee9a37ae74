# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment: damped Gauss-Newton steps on poses, lens and points together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from flowcam_ros.flowmap.bundle_problem import BundleProblem, BundleResiduals, BundleState
from flowcam_ros.flowmap.bundle_system import BundleSystem
from flowcam_ros.geometry.small_motion import small_motion

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-7, 1e6
_EASIER, _HARDER = 0.2, 6.0
# A step that lowers the cost by a smaller share ends the search.
_SMALL_IMPROVEMENT = 1e-5

OnAdjust = Callable[[int, float, float], None]


@dataclass(frozen=True)
class BundleFit:
    """Result of :func:`adjust`.

    Attributes:
        at: residuals at the best state.
        scale: factor by which pixel errors are larger than their variances say.
        steps: number of steps taken.
    """

    at: BundleResiduals
    scale: float
    steps: int

    @property
    def state(self) -> BundleState:
        """The best state."""
        return self.at.state


def adjust(
    problem: BundleProblem,
    start: BundleState,
    iterations: int,
    on_step: OnAdjust = lambda _step, _scale, _focal: None,
) -> BundleFit:
    """Improve a state by at most ``iterations`` steps; one that makes it worse is not taken.

    Args:
        problem: what to minimise.
        start: first state.
        iterations: largest number of steps.
        on_step: told the number of each step, the scale of the errors and the focal length, px;
            may raise to cancel.
    """
    at, damping, steps = problem.residuals(start), _FIRST_DAMPING, 0
    for steps in range(1, iterations + 1):
        scale = problem.scale(at)
        on_step(steps, scale, at.state.lens.focal)
        before = problem.cost(at, scale)
        candidate, damping = _improved(problem, at, scale, damping)
        if candidate is None:
            break
        gain = before - problem.cost(candidate, scale)
        at, damping = candidate, max(damping * _EASIER, _LEAST_DAMPING)
        if gain < _SMALL_IMPROVEMENT * abs(before):
            break
    return BundleFit(at, problem.scale(at), steps)


def _improved(
    problem: BundleProblem, at: BundleResiduals, scale: float, damping: float
) -> tuple[BundleResiduals | None, float]:
    """Return a better state and the damping it took; None if there is none.

    The system takes most of the memory: it is gone before the next one is built.
    """
    system, before = problem.system(at, scale), problem.cost(at, scale)
    while damping < _MOST_DAMPING:
        candidate = _stepped(problem, at, system, damping)
        if candidate is not None and problem.cost(candidate, scale) < before:
            return candidate, damping
        damping *= _HARDER
    return None, damping


def _stepped(
    problem: BundleProblem, at: BundleResiduals, system: BundleSystem, damping: float
) -> BundleResiduals | None:
    try:
        poses, lens, points = system.step(damping)
    except torch.linalg.LinAlgError:
        return None
    state = at.state
    moved = state.poses @ small_motion(poses)
    candidate = problem.residuals(problem.stepped(state, moved, lens, points))
    return candidate if bool(candidate.chi2_pixel.isfinite().all()) else None
