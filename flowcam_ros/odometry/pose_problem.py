# SPDX-License-Identifier: Apache-2.0
"""Residuals and derivatives of a pose and the inverse depths it is fitted on.

The point of the target camera, scaled by the source's inverse depth rho, is R ray + rho t: finite
for points at infinity, and linear in rho.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import rays
from flowcam_ros.odometry.scene_flow import Correspondences

# Degrees of freedom of Student's t for the weights: close to least squares inside, 1/r outside.
_STUDENT_DOF = 4.0
_MIN_INVERSE_DEPTH = 1e-4
_MAX_INVERSE_DEPTH = 100.0
_MIN_Z = 1e-3
# Half of the squared errors of two degrees of freedom lie below 2 ln 2.
_MEDIAN_CHI2 = 1.386
# Errors far below their variances mean that the variances are too large, not perfect data.
_MIN_SCALE = 0.3
_CHI2_BEHIND = 1e6  # points behind the camera: beyond any inlier


@dataclass(frozen=True)
class Residuals:
    """What remains at one pose and set of depths; n points.

    Attributes:
        pose: (4, 4) where they were taken.
        moved: (n, 3) points of the target camera times their source inverse depth.
        depth: (n,) inverse depths of the source.
        residual: (n, 3) pixel x, pixel y, inverse depth in the target.
        prior: (n,) inverse depth minus what was known of it.
        chi2_pixel: (n,) squared error of pixel and prior in units of their variances.
        chi2_depth: (n,) the same of the target's inverse depth.
    """

    pose: Tensor
    moved: Tensor
    depth: Tensor
    residual: Tensor
    prior: Tensor
    chi2_pixel: Tensor
    chi2_depth: Tensor

    def scale(self) -> float:
        """Return by how much errors exceed what their variances say, from their median."""
        return max(float((self.chi2_pixel.median() / _MEDIAN_CHI2) ** 0.5), _MIN_SCALE)

    def cost(self, scale: float) -> float:
        """Return the mean robust cost."""
        pixel = student_cost(self.chi2_pixel / scale**2, 2.0)
        depth = student_cost(self.chi2_depth / scale**2, 1.0)
        return float((pixel + depth).mean())


@dataclass(frozen=True)
class NormalEquations:
    """The weighted least-squares problem at one pose, with the depths eliminated.

    Attributes:
        hessian: (6, 6) of the pose alone.
        gradient: (6,).
        weights: (n,) robust weight of each point.
    """

    hessian: Tensor
    gradient: Tensor
    weights: Tensor
    _cross: Tensor
    _curvature: Tensor
    _slope: Tensor

    def updated_depth(self, depth: Tensor, step: Tensor) -> Tensor:
        """Return the best depths for a pose step."""
        change = -(self._slope + self._cross @ step) / self._curvature
        return (depth + change).clamp(_MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)


class PoseProblem:
    """One set of correspondences, evaluated at any pose and depths."""

    def __init__(self, points: Correspondences, camera: CameraModel) -> None:
        self._points = points
        self._camera = camera
        self._rays = rays(camera, points.source)
        self._pixel_information = 1.0 / points.pixel_variance
        self._prior_information = 1.0 / points.inverse_depth_variance
        known = points.target_inverse_depth > 0
        self._target_information = known / points.target_inverse_depth_variance
        focal = camera.fx
        median_depth = 1.0 / max(float(points.inverse_depth.median()), _MIN_INVERSE_DEPTH)
        # pixels that a unit of each step component moves a typical point
        self.step_scale = torch.tensor(
            [focal / median_depth] * 3 + [focal] * 3,
            dtype=torch.float64,
            device=points.source.device,
        )

    def residuals(self, pose: Tensor, depth: Tensor) -> Residuals:
        """Return the residuals at a pose (target_from_source) and inverse depths."""
        p, camera = self._points, self._camera
        moved = self._rays @ pose[:3, :3].T + depth.unsqueeze(-1) * pose[:3, 3]
        z = moved[:, 2].clamp_min(_MIN_Z)
        residual = torch.stack(
            [
                camera.fx * moved[:, 0] / z + camera.cx - p.target[:, 0],
                camera.fy * moved[:, 1] / z + camera.cy - p.target[:, 1],
                depth / z - p.target_inverse_depth,
            ],
            -1,
        )
        prior = depth - p.inverse_depth
        chi2 = (residual[:, :2] ** 2).sum(-1) * self._pixel_information
        chi2 = chi2 + prior**2 * self._prior_information
        chi2 = torch.where(moved[:, 2] > _MIN_Z, chi2, torch.full_like(chi2, _CHI2_BEHIND))
        chi2_depth = residual[:, 2] ** 2 * self._target_information
        return Residuals(pose, moved, depth, residual, prior, chi2, chi2_depth)

    def derivatives(self, at: Residuals) -> tuple[Tensor, Tensor]:
        """Return how residuals change with the pose and with the depth of their point.

        Returns:
            (n, 3, 6) by a small motion (translation, rotation vector) in target axes, and (n, 3)
            by the source's inverse depth.
        """
        camera, depth = self._camera, at.depth
        inverse_z = 1.0 / at.moved[:, 2].clamp_min(_MIN_Z)
        fx, fy = camera.fx * inverse_z, camera.fy * inverse_z
        zero = torch.zeros_like(fx)
        by_z = (
            -fx * at.moved[:, 0] * inverse_z,
            -fy * at.moved[:, 1] * inverse_z,
            -depth * inverse_z**2,
        )
        flat = torch.stack([fx, zero, by_z[0], zero, fy, by_z[1], zero, zero, by_z[2]], -1)
        by_point = flat.view(-1, 3, 3)
        by_depth = by_point @ at.pose[:3, 3]
        by_depth[:, 2] += inverse_z
        # the point scaled by its inverse depth moves by depth * dt + dw x point
        by_translation = by_point * depth[:, None, None]
        by_rotation = torch.linalg.cross(at.moved.unsqueeze(1).expand_as(by_point), by_point)
        return torch.cat([by_translation, by_rotation], -1), by_depth

    def normal_equations(self, at: Residuals, scale: float) -> NormalEquations:
        """Weight the residuals robustly and eliminate the depths (Schur complement)."""
        weights = _student_weight(at.chi2_pixel / scale**2, 2.0)
        depth_weights = _student_weight(at.chi2_depth / scale**2, 1.0)
        pixel = self._pixel_information * weights
        target = self._target_information * depth_weights
        information = torch.stack([pixel, pixel, target], -1) / scale**2
        prior_information = self._prior_information * weights / scale**2

        by_pose, by_depth = self.derivatives(at)
        weighted = information.unsqueeze(-1) * by_pose
        hessian = weighted.reshape(-1, 6).T @ by_pose.reshape(-1, 6)
        gradient = weighted.reshape(-1, 6).T @ at.residual.reshape(-1)
        cross = (weighted * by_depth.unsqueeze(-1)).sum(1)
        curvature = (information * by_depth**2).sum(-1) + prior_information
        slope = (information * by_depth * at.residual).sum(-1) + prior_information * at.prior
        curvature = curvature.clamp_min(1e-30)
        hessian = hessian - (cross / curvature.unsqueeze(-1)).T @ cross
        gradient = gradient - cross.T @ (slope / curvature)
        return NormalEquations(hessian, gradient, weights, cross, curvature, slope)


def _student_weight(chi2: Tensor, dimension: float) -> Tensor:
    return (_STUDENT_DOF + dimension) / (_STUDENT_DOF + chi2)


def student_cost(chi2: Tensor, dimension: float) -> Tensor:
    """Return the negative log likelihood of Student's t, up to a constant."""
    return 0.5 * (_STUDENT_DOF + dimension) * torch.log1p(chi2 / _STUDENT_DOF)
