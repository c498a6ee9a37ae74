# SPDX-License-Identifier: Apache-2.0
"""The robust refinement of a pose on flow and depth, with the depths eliminated.

Each correspondence has a source pixel with an uncertain inverse depth, its pixel in the target
and, where the target is measured too, its inverse depth there. The pose minimises the robustly
weighted residuals of pixel and inverse depth; the source's inverse depth is estimated along with
it and eliminated by the Schur complement. So a point of unknown depth pulls the pose only across
its epipolar line, a point of known depth in all directions, with no case distinction.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import of_information
from flowcam_ros.geometry.procrustes import weighted_procrustes
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Vector3
from flowcam_ros.geometry.small_motion import small_motion
from flowcam_ros.odometry.pose_problem import (
    UNEXPLAINED_CHI2,
    NormalEquations,
    PoseProblem,
    Residuals,
)
from flowcam_ros.odometry.robust import FORGIVING, Kernel
from flowcam_ros.odometry.scene_flow import Correspondences
from flowcam_ros.odometry.surface import SurfaceResiduals, SurfaceTerm

# Levenberg-Marquardt damping, relative to the diagonal of the normal matrix.
_FIRST_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1e-4, 1e-6, 1e4
# Less changes no step by much.
_FELT_DAMPING = 1e-2
# A step that moves no typical point by more than this, or improves the mean cost by less, is the
# last: what remains is far below what noise leaves open.
_SMALL_STEP_PX = 5e-3
_SMALL_IMPROVEMENT = 3e-5
# A step this short that makes things worse tells that only the grain of the depth image is left.
_GRAIN_PX = 0.03


@dataclass(frozen=True)
class PoseFit:
    """Result of :func:`fit_pose`.

    Attributes:
        target_from_source: (4, 4) float64.
        covariance: (6, 6) of the pose: translation and rotation error in the target's axes.
        inverse_depth: (n,) posterior of the source's inverse depth.
        weights: (n,) robust weight of each point, 0 to 1.
        chi2: (n,) squared residual of each point in units of its own variance.
        scale: factor by which residuals are larger than their variances say (standard deviation).
        condition: condition number of the normal matrix, scaled to unit diagonal.
        surface: how the surface fits, where it took part.
    """

    target_from_source: Float[Tensor, '4 4']
    covariance: Float[Tensor, '6 6']
    inverse_depth: Float[Tensor, ' n']
    weights: Float[Tensor, ' n']
    chi2: Float[Tensor, ' n']
    scale: float
    condition: float
    surface: SurfaceResiduals | None

    @property
    def misfit(self) -> float:
        """Share of the points left unexplained, 0 to 1, as :meth:`PoseProblem.misfit`."""
        return float(self.chi2.clamp(0.0, UNEXPLAINED_CHI2).mean()) / UNEXPLAINED_CHI2


def fit_pose(
    problem: PoseProblem,
    start: Float[Tensor, '4 4'],
    iterations: int,
    kernel: Kernel = FORGIVING,
    surface: SurfaceTerm | None = None,
) -> PoseFit:
    """Fit ``target_from_source`` by Gauss-Newton with damping and robust weights.

    ``start`` is a first guess; depths start from what is known of them. ``surface`` is fitted
    along where given.
    """
    pose, depth = start, problem.points.inverse_depth
    at = problem.residuals(pose, depth)
    on = surface.residuals(pose) if surface else None
    damping = _FIRST_DAMPING
    for _ in range(iterations):
        scale = at.scale()
        system = _joint(problem.normal_equations(at, scale, kernel), on)
        step = _damped_step(system, damping)
        new_pose, new_depth = small_motion(step) @ pose, system.updated_depth(depth, step)
        candidate = problem.residuals(new_pose, new_depth)
        improvement = at.cost(scale, kernel) - candidate.cost(scale, kernel)
        new_on = surface.residuals(new_pose) if surface else None
        if on is not None and new_on is not None:
            improvement += on.improvement(new_on) / len(problem.points)
        length = float((step.abs() * problem.step_scale).max())
        if improvement >= 0:
            pose, depth, at, on = new_pose, new_depth, candidate, new_on
            damping = max(damping * 0.1, _MIN_DAMPING)
            if length < _SMALL_STEP_PX or improvement < _SMALL_IMPROVEMENT:
                break
        else:
            damping = max(damping * 10.0, _FELT_DAMPING)
            if length < _GRAIN_PX or damping > _MAX_DAMPING:
                break
    return _result(problem, at, on, depth, kernel)


def _joint(
    system: NormalEquations, on: SurfaceResiduals | None, final: bool = False
) -> NormalEquations:
    """Add the surface's normal equations to those of the points."""
    if on is None:
        return system
    hessian, gradient = on.belief() if final else on.normal_equations()
    return dataclasses.replace(
        system, hessian=system.hessian + hessian, gradient=system.gradient + gradient
    )


def _damped_step(system: NormalEquations, damping: float) -> Tensor:
    # the added floor keeps directions that no point tells apart solvable: they get no step
    diagonal = system.hessian.diagonal() * damping + 1e-12 * system.hessian.diagonal().max()
    return torch.linalg.solve(system.hessian + torch.diag(diagonal + 1e-300), -system.gradient)


def _result(
    problem: PoseProblem,
    at: Residuals,
    on: SurfaceResiduals | None,
    depth: Tensor,
    kernel: Kernel,
) -> PoseFit:
    scale = at.scale()
    system = _joint(problem.normal_equations(at, scale, kernel), on, final=True)
    covariance, condition = of_information(system.hessian)
    return PoseFit(
        at.seen.pose, covariance, depth, system.weights, at.chi2_pixel, scale, condition, on
    )


def fit_rotation(
    points: Correspondences,
    camera: CameraModel,
    start: Float[np.ndarray, '4 4'],
    centre: Vector3,
) -> Float[np.ndarray, '3 3']:
    """Return the rotation that explains the flow best if the target's camera is at ``centre``.

    That is in the source's camera; zero, where nothing is known of it.
    """
    device = points.source.device
    source, target = rays(camera, points.source), rays(camera, points.target)
    source = source - points.inverse_depth.unsqueeze(-1) * torch.from_numpy(centre).to(source)
    source = source / source.norm(dim=-1, keepdim=True)
    target = target / target.norm(dim=-1, keepdim=True)
    rotation = torch.from_numpy(start[:3, :3]).to(device)
    for _ in range(5):
        angle = (source @ rotation.T - target).norm(dim=-1)
        scale = angle.median().clamp_min(1e-6)
        weights = 1.0 / (1.0 + (angle / scale) ** 2) / points.pixel_variance
        zero = torch.zeros_like(source)
        both_source, both_target = (
            torch.cat([source, zero[:1]]),
            torch.cat([target, zero[:1]]),
        )
        # a heavy common origin turns the rigid fit into a rotation about it
        anchored = torch.cat([weights, 1e9 * weights.sum().unsqueeze(0)])
        rotation = weighted_procrustes(both_source, both_target, anchored).rotation
    return rotation.cpu().numpy()
