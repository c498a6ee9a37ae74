# SPDX-License-Identifier: Apache-2.0
"""The optimisation of a window: damped Gauss-Newton steps on poses and depths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.small_motion import small_motion
from flowcam_ros.odometry.reprojection import clamped_depth
from flowcam_ros.odometry.window_problem import (
    WindowProblem,
    WindowResiduals,
    WindowState,
    WindowSystem,
)

# Damping relative to the diagonal of the normal matrix, and its change after a failed step.
_FIRST_DAMPING, _HARDER = 1e-6, 100.0
# A step that raises the log likelihood by less moves nothing by a noticeable part of its sigma.
_SMALL_IMPROVEMENT = 0.1


@dataclass(frozen=True)
class WindowFit:
    """Result of :func:`fit_window`.

    Attributes:
        at: residuals at the best state.
        system: normal equations there.
        scale: factor by which residuals are larger than their variances say.
        covariances: (m, m) of all poses, in their own axes.
    """

    at: WindowResiduals
    system: WindowSystem
    scale: float
    covariances: Float[Tensor, 'm m']

    @property
    def state(self) -> WindowState:
        """The best state."""
        return self.at.state


def fit_window(problem: WindowProblem, start: WindowState, iterations: int) -> WindowFit:
    """Improve a state by at most ``iterations`` steps; a step that makes it worse is not taken."""
    at = problem.residuals(start)
    freedom = problem.freedom(at)
    damping = _FIRST_DAMPING
    for _ in range(iterations):
        scale = problem.scale(at, freedom)
        system = problem.system(at, scale)
        candidate = problem.residuals(_stepped(at.state, system, damping))
        before, after = problem.cost(at, scale), problem.cost(candidate, scale)
        if after < before:
            at = candidate
            damping = max(damping / _HARDER, _FIRST_DAMPING)
            if before - after < _SMALL_IMPROVEMENT:
                break
        else:
            damping *= _HARDER
    scale = problem.scale(at, freedom)
    system = problem.system(at, scale)
    return WindowFit(at, system, scale, torch.linalg.inv(system.reduced()[0]))


def _stepped(state: WindowState, system: WindowSystem, damping: float) -> WindowState:
    hessian, gradient = system.reduced()
    diagonal = hessian.diagonal()
    damped = hessian + torch.diag(diagonal * damping + 1e-12 * diagonal.max())
    step = torch.linalg.solve(damped, -gradient)
    poses = state.poses @ small_motion(step.view(-1, 6))
    return WindowState(poses, clamped_depth(state.depth + system.depth_step(step)))
