# SPDX-License-Identifier: Apache-2.0
"""The robust refinement of a pose on flow and depth, with the depths eliminated.

Each correspondence has a source pixel with an uncertain inverse depth, its pixel in the target
and, where the target is measured too, its inverse depth there. The pose minimises the robustly
weighted residuals of pixel and inverse depth; the source's inverse depth is estimated along with
it and eliminated by the Schur complement. So a point of unknown depth pulls the pose only across
its epipolar line, a point of known depth in all directions, with no case distinction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.procrustes import weighted_procrustes
from flowcam_ros.geometry.projection import rays
from flowcam_ros.odometry.scene_flow import Correspondences

# Degrees of freedom of Student's t for the weights: close to least squares inside, 1/r outside.
_STUDENT_DOF = 4.0
_MIN_INVERSE_DEPTH = 1e-4
_MAX_INVERSE_DEPTH = 100.0


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
        cost: mean robust cost; compares fits of the same points.

    """

    target_from_source: Float[Tensor, '4 4']
    covariance: Float[Tensor, '6 6']
    inverse_depth: Float[Tensor, ' n']
    weights: Float[Tensor, ' n']
    chi2: Float[Tensor, ' n']
    scale: float
    condition: float
    cost: float


def fit_pose(
    points: Correspondences,
    camera: CameraModel,
    start: Float[Tensor, '4 4'],
    iterations: int,
) -> PoseFit:
    """Fit ``target_from_source`` by Gauss-Newton with damping and Student-t weights.

    ``camera`` is the undistorted camera of both images, ``start`` a first guess.
    """
    problem = _Problem(points, camera)
    pose, depth = start.clone(), points.inverse_depth.clone()
    terms = problem.linearize(pose, depth, scale=None)
    damping = 1e-4
    for _ in range(iterations):
        system = terms.reduced()
        diagonal = torch.diag(system.hessian.diagonal() * damping)
        step = torch.linalg.solve(system.hessian + diagonal, -system.gradient)
        new_pose = _retract(step, pose)
        new_depth = terms.updated_depth(depth, step)
        candidate = problem.linearize(new_pose, new_depth, scale=terms.scale)
        if candidate.cost <= terms.cost:
            improvement = terms.cost - candidate.cost
            small = bool((step.abs() * problem.step_scale < 1e-3).all())
            pose, depth, damping = new_pose, new_depth, max(damping * 0.1, 1e-6)
            terms = problem.linearize(pose, depth, scale=None)
            if small or improvement < 1e-9:
                break
        else:
            damping *= 10.0
            if damping > 1e4:
                break
    return _result(terms, pose, depth)


def start_cost(points: Correspondences, camera: CameraModel, start: Float[Tensor, '4 4']) -> float:
    """Return the robust cost of a first guess in units that compare guesses of the same points."""
    return _Problem(points, camera).linearize(start, points.inverse_depth, scale=1.0).cost


def _retract(step: Tensor, pose: Tensor) -> Tensor:
    """Apply a small motion (translation, rotation vector) in target axes to a pose."""
    x, y, z = step[3:].tolist()
    skew = torch.tensor(
        [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=pose.dtype, device=pose.device
    )
    rotation = torch.linalg.matrix_exp(skew)
    result = pose.clone()
    result[:3, :3] = rotation @ pose[:3, :3]
    result[:3, 3] = rotation @ pose[:3, 3] + step[:3]
    return result


@dataclass(frozen=True)
class _Reduced:
    hessian: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class _Terms:
    """The linearised, weighted problem at one pose and set of depths."""

    pose_jacobian: Tensor  # (n, 3, 6)
    depth_jacobian: Tensor  # (n, 3)
    residual: Tensor  # (n, 3)
    information: Tensor  # (n, 3), robust weights included
    prior_information: Tensor  # (n,), robust weights included
    prior_residual: Tensor  # (n,)
    weights: Tensor
    chi2: Tensor
    scale: float
    cost: float

    def reduced(self) -> _Reduced:
        """Eliminate the depths: the 6x6 system of the pose alone."""
        wj = self.information.unsqueeze(-1) * self.pose_jacobian
        hessian = torch.einsum('nki,nkj->ij', wj, self.pose_jacobian)
        gradient = torch.einsum('nki,nk->i', wj, self.residual)
        cross, curvature, slope = self._depth_terms()
        hessian = hessian - torch.einsum('ni,nj->ij', cross / curvature.unsqueeze(-1), cross)
        gradient = gradient - torch.einsum('ni,n->i', cross, slope / curvature)
        return _Reduced(hessian, gradient)

    def _depth_terms(self) -> tuple[Tensor, Tensor, Tensor]:
        wd = self.information * self.depth_jacobian
        cross = torch.einsum('nki,nk->ni', self.pose_jacobian, wd)
        curvature = (wd * self.depth_jacobian).sum(-1) + self.prior_information
        slope = (wd * self.residual).sum(-1) + self.prior_information * self.prior_residual
        return cross, curvature.clamp_min(1e-30), slope

    def updated_depth(self, depth: Tensor, step: Tensor) -> Tensor:
        """Return the best depths for a pose step."""
        cross, curvature, slope = self._depth_terms()
        change = -(slope + cross @ step) / curvature
        return (depth + change).clamp(_MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)


class _Problem:
    """Residuals and derivatives of one set of correspondences."""

    def __init__(self, points: Correspondences, camera: CameraModel) -> None:
        self._points = points
        self._camera = camera
        self._rays = rays(camera, points.source)
        self._has_target = points.target_inverse_depth > 0
        focal = camera.fx
        median_depth = 1.0 / max(float(points.inverse_depth.median()), _MIN_INVERSE_DEPTH)
        # pixels that a unit of each step component moves a typical point
        self.step_scale = torch.tensor(
            [focal / median_depth] * 3 + [focal] * 3,
            dtype=torch.float64,
            device=points.source.device,
        )

    def linearize(self, pose: Tensor, depth: Tensor, scale: float | None) -> _Terms:
        """Linearise and weight; ``scale`` None estimates the residuals' scale anew."""
        p, camera = self._points, self._camera
        rotated = self._rays @ pose[:3, :3].T
        moved = rotated + depth.unsqueeze(-1) * pose[:3, 3]
        z = moved[:, 2].clamp_min(1e-3)
        x_over_z, y_over_z = moved[:, 0] / z, moved[:, 1] / z
        predicted_depth = depth / z
        residual = torch.stack(
            [
                camera.fx * x_over_z + camera.cx - p.target[:, 0],
                camera.fy * y_over_z + camera.cy - p.target[:, 1],
                predicted_depth - p.target_inverse_depth,
            ],
            -1,
        )
        by_point = _derivative_by_point(camera, x_over_z, y_over_z, z, predicted_depth)
        pose_jacobian = _derivative_by_pose(by_point, moved, depth)
        depth_jacobian = by_point @ pose[:3, 3]
        depth_jacobian[:, 2] += 1.0 / z
        target_information = torch.where(
            self._has_target, 1.0 / p.target_inverse_depth_variance, torch.zeros_like(z)
        )
        pixel_information = 1.0 / p.pixel_variance
        prior_residual = depth - p.inverse_depth
        prior_information = 1.0 / p.inverse_depth_variance
        chi2_pixel = (residual[:, :2] ** 2).sum(-1) * pixel_information
        chi2_pixel = chi2_pixel + prior_residual**2 * prior_information
        chi2_pixel = torch.where(moved[:, 2] > 1e-3, chi2_pixel, torch.full_like(z, 1e6))
        chi2_depth = residual[:, 2] ** 2 * target_information
        if scale is None:
            # half of the points of two degrees of freedom lie below 2 ln 2
            scale = max(float((chi2_pixel.median() / 1.386) ** 0.5), 0.3)
        weights, pixel_cost = _student(chi2_pixel / scale**2, 2.0)
        depth_weights, depth_cost = _student(chi2_depth / scale**2, 1.0)
        information = (
            torch.stack(
                [
                    pixel_information * weights,
                    pixel_information * weights,
                    target_information * depth_weights * weights,
                ],
                -1,
            )
            / scale**2
        )
        return _Terms(
            pose_jacobian,
            depth_jacobian,
            residual,
            information,
            prior_information * weights / scale**2,
            prior_residual,
            weights,
            chi2_pixel,
            scale,
            float((pixel_cost + depth_cost).mean()),
        )


def _derivative_by_point(
    camera: CameraModel,
    x_over_z: Tensor,
    y_over_z: Tensor,
    z: Tensor,
    predicted_depth: Tensor,
) -> Tensor:
    """Return (n, 3, 3): pixel x, pixel y and inverse depth by the scaled target point."""
    zero = torch.zeros_like(z)
    return torch.stack(
        [
            torch.stack([camera.fx / z, zero, -camera.fx * x_over_z / z], -1),
            torch.stack([zero, camera.fy / z, -camera.fy * y_over_z / z], -1),
            torch.stack([zero, zero, -predicted_depth / z], -1),
        ],
        -2,
    )


def _derivative_by_pose(by_point: Tensor, moved: Tensor, depth: Tensor) -> Tensor:
    """Return (n, 3, 6): the point scaled by its inverse depth moves by depth * dt + dw x point."""
    by_translation = by_point * depth[:, None, None]
    by_rotation = torch.linalg.cross(moved.unsqueeze(1).expand_as(by_point), by_point)
    return torch.cat([by_translation, by_rotation], -1)


def _student(chi2: Tensor, dimension: float) -> tuple[Tensor, Tensor]:
    """Return weight and cost of Student's t distribution."""
    weights = (_STUDENT_DOF + dimension) / (_STUDENT_DOF + chi2)
    cost = 0.5 * (_STUDENT_DOF + dimension) * torch.log1p(chi2 / _STUDENT_DOF)
    return weights.clamp(max=1.0), cost


def _result(terms: _Terms, pose: Tensor, depth: Tensor) -> PoseFit:
    hessian = terms.reduced().hessian
    diagonal = hessian.diagonal().clamp_min(1e-30).sqrt()
    scaled = hessian / torch.outer(diagonal, diagonal)
    values, vectors = torch.linalg.eigh(0.5 * (scaled + scaled.T))
    safe = values.clamp_min(1e-12 * float(values[-1]))
    covariance = (vectors / safe) @ vectors.T / torch.outer(diagonal, diagonal)
    return PoseFit(
        pose,
        covariance,
        depth,
        terms.weights,
        terms.chi2,
        terms.scale,
        float(safe[-1] / safe[0]),
        terms.cost,
    )


def fit_rotation(
    points: Correspondences, camera: CameraModel, start: Float[np.ndarray, '4 4']
) -> Float[np.ndarray, '3 3']:
    """Return the rotation that explains the flow best when nothing is known of the translation."""
    device = points.source.device
    source, target = rays(camera, points.source), rays(camera, points.target)
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
