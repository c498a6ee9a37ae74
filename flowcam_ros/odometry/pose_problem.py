# SPDX-License-Identifier: Apache-2.0
"""One pose and the inverse depths that it is fitted on, as a robust least-squares problem."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import rays
from flowcam_ros.odometry.reprojection import (
    MIN_INVERSE_DEPTH,
    Reprojection,
    clamped_depth,
    derivatives,
    reproject,
)
from flowcam_ros.odometry.robust import CHI2_BEHIND, Kernel, robust_scale
from flowcam_ros.odometry.scene_flow import Correspondences

# From here on a point is unexplained, however far off it is.
UNEXPLAINED_CHI2 = 9.0


@dataclass(frozen=True)
class Residuals:
    """What remains at one pose and set of depths; n points.

    Attributes:
        seen: the points in the target.
        residual: (3, n) pixel x, pixel y, inverse depth in the target.
        prior: (n,) inverse depth minus what was known of it.
        chi2_pixel: (n,) squared error of pixel and prior in units of their variances.
        chi2_depth: (n,) the same of the target's inverse depth.
    """

    seen: Reprojection
    residual: Float[Tensor, '3 n']
    prior: Float[Tensor, ' n']
    chi2_pixel: Float[Tensor, ' n']
    chi2_depth: Float[Tensor, ' n']

    def scale(self) -> float:
        """Return by how much errors exceed what their variances say."""
        return robust_scale(self.chi2_pixel)

    def cost(self, scale: float, kernel: Kernel) -> float:
        """Return the mean robust cost."""
        pixel = kernel.cost(self.chi2_pixel / scale**2, 2.0)
        depth = kernel.cost(self.chi2_depth / scale**2, 1.0)
        return float((pixel + depth).mean())


@dataclass(frozen=True)
class NormalEquations:
    """The weighted least-squares problem at one pose, with the depths eliminated.

    Attributes:
        hessian: (6, 6) of the pose alone.
        gradient: (6,).
        weights: (n,) robust weight of each point.
    """

    hessian: Float[Tensor, '6 6']
    gradient: Float[Tensor, '6']
    weights: Float[Tensor, ' n']
    _cross: Float[Tensor, '6 n']
    _curvature: Float[Tensor, ' n']
    _slope: Float[Tensor, ' n']

    def updated_depth(
        self, depth: Float[Tensor, ' n'], step: Float[Tensor, '6']
    ) -> Float[Tensor, ' n']:
        """Return the best depths for a pose step."""
        return clamped_depth(depth - (self._slope + step @ self._cross) / self._curvature)


class PoseProblem:
    """One set of correspondences, evaluated at any pose and depths.

    Args:
        points: the correspondences.
        camera: the undistorted camera of both images.
    """

    def __init__(self, points: Correspondences, camera: CameraModel) -> None:
        self.points = points
        self._camera = camera
        self._rays = rays(camera, points.source).mT.contiguous()
        self._target = torch.cat([points.target.mT, points.target_inverse_depth.unsqueeze(0)])
        self._pixel_information = 1.0 / points.pixel_variance
        self._prior_information = 1.0 / points.inverse_depth_variance
        known = points.target_inverse_depth > 0
        self._target_information = known / points.target_inverse_depth_variance
        focal = camera.fx
        median_depth = 1.0 / max(float(points.inverse_depth.median()), MIN_INVERSE_DEPTH)
        # pixels that a unit of each step component moves a typical point
        self.step_scale = points.source.new_tensor([focal / median_depth] * 3 + [focal] * 3)

    def residuals(self, pose: Float[Tensor, '4 4'], depth: Float[Tensor, ' n']) -> Residuals:
        """Return the residuals at a pose (target_from_source) and inverse depths."""
        seen = reproject(self._camera, self._rays, depth, pose)
        residual = seen.predicted - self._target
        prior = depth - self.points.inverse_depth
        chi2 = (residual[:2] ** 2).sum(0) * self._pixel_information
        chi2 = chi2 + prior**2 * self._prior_information
        chi2 = chi2.masked_fill(~seen.ahead, CHI2_BEHIND)
        chi2_depth = residual[2] ** 2 * self._target_information
        return Residuals(seen, residual, prior, chi2, chi2_depth)

    def misfit(self, pose: Float[Tensor, '4 4']) -> float:
        """Return the share of the points that a pose leaves unexplained, 0 to 1.

        Each point counts by its error at its best depth, up to a limit: a pose that explains many
        points exactly beats one that explains all of them badly, which is what separates the
        camera's motion from that of things before it.
        """
        at = self.residuals(pose, self.points.inverse_depth)
        _, by_depth = derivatives(self._camera, at.seen)
        slope = (by_depth[:2] * at.residual[:2]).sum(0) * self._pixel_information
        curvature = (by_depth[:2] ** 2).sum(0) * self._pixel_information
        chi2 = at.chi2_pixel - slope**2 / (curvature + self._prior_information)
        return float(chi2.clamp(0.0, UNEXPLAINED_CHI2).mean()) / UNEXPLAINED_CHI2

    def normal_equations(self, at: Residuals, scale: float, kernel: Kernel) -> NormalEquations:
        """Weight the residuals robustly and eliminate the depths (Schur complement)."""
        weights = kernel.weight(at.chi2_pixel / scale**2, 2.0)
        depth_weights = kernel.weight(at.chi2_depth / scale**2, 1.0)
        pixel = self._pixel_information * weights
        target = self._target_information * depth_weights
        information = torch.stack([pixel, pixel, target]) / scale**2
        prior_information = self._prior_information * weights / scale**2

        by_pose, by_depth = derivatives(self._camera, at.seen)
        weighted = information * by_pose
        flat = weighted.flatten(1)
        hessian = flat @ by_pose.flatten(1).T
        gradient = flat @ at.residual.flatten()
        cross = (weighted * by_depth).sum(1)
        pull = information * by_depth
        curvature = (pull * by_depth).sum(0).add_(prior_information).clamp_(min=1e-30)
        slope = (pull * at.residual).sum(0).addcmul_(prior_information, at.prior)
        scaled = cross / curvature
        hessian = hessian - scaled @ cross.T
        gradient = gradient - scaled @ slope
        return NormalEquations(hessian, gradient, weights, cross, curvature, slope)
