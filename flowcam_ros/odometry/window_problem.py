# SPDX-License-Identifier: Apache-2.0
"""Several key frames and the depths of their points, as one robust least-squares problem.

A point belongs to the key frame that it was chosen in, its host, and is seen from others, the
targets (the parameterisation of Direct Sparse Odometry, Engel et al. 2018, here on refined flow
instead of brightness). Depths are eliminated by the Schur complement, so a step costs a system of
six unknowns a key frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.odometry.pair_prior import PairPrior
from flowcam_ros.odometry.reprojection import Reprojection, derivatives, reproject
from flowcam_ros.odometry.robust import CHI2_BEHIND, robust_scale, student_cost, student_weight
from flowcam_ros.odometry.window_prior import WindowPrior

# A point seen only once has nothing left of its error along the epipolar line.
_LEAST_FREEDOM = 0.5


@dataclass(frozen=True)
class Sightings:
    """Where points of one key frame are seen in another; k keyframes, p pairs, n points each.

    Rows are padded to n points: information 0 stands for "not seen".

    Attributes:
        host: (p,) key frame that the points belong to.
        target: (p,) key frame that sees them.
        pixel: (p, n, 2) where.
        pixel_information: (p, n) inverse variance of each coordinate.
        inverse_depth: (p, n) measured in the target.
        depth_information: (p, n) inverse variance of that; 0 where unknown.
        pair: (p,) what is known of the pose of host in target besides.
    """

    host: Int64[Tensor, ' p']
    target: Int64[Tensor, ' p']
    pixel: Float[Tensor, 'p n 2']
    pixel_information: Float[Tensor, 'p n']
    inverse_depth: Float[Tensor, 'p n']
    depth_information: Float[Tensor, 'p n']
    pair: PairPrior


@dataclass(frozen=True)
class WindowPoints:
    """Points of k key frames, padded to n each.

    Attributes:
        rays: (k, n, 3) with z = 1.
        inverse_depth: (k, n) known before.
        information: (k, n) inverse variance of that.
    """

    rays: Float[Tensor, 'k n 3']
    inverse_depth: Float[Tensor, 'k n']
    information: Float[Tensor, 'k n']


@dataclass(frozen=True)
class WindowState:
    """The unknowns: (k, 4, 4) world_from_camera and (k, n) inverse depths."""

    poses: Float[Tensor, 'k 4 4']
    depth: Float[Tensor, 'k n']


@dataclass(frozen=True)
class WindowResiduals:
    """What remains at one state.

    Attributes:
        state: where they were taken.
        seen: (p,) batch of the points in the targets.
        residual: (p, 3, n) pixel x, pixel y, inverse depth.
        chi2_pixel: (p, n) squared error in units of variance; 0 where not seen.
        chi2_depth: (p, n) the same of the target's inverse depth.
        chi2_prior: (k, n) the same of the host's inverse depth.
    """

    state: WindowState
    seen: Reprojection
    residual: Float[Tensor, 'p 3 n']
    chi2_pixel: Float[Tensor, 'p n']
    chi2_depth: Float[Tensor, 'p n']
    chi2_prior: Float[Tensor, 'k n']


@dataclass(frozen=True)
class WindowSystem:
    """The weighted problem at one state, depths not yet eliminated.

    Attributes:
        hessian: (k, k, 6, 6) of the poses.
        gradient: (k, 6).
        cross: (k, k, 6, n) of poses with the depths of key frames, which come first.
        curvature: (k, n) of the depths.
        slope: (k, n) gradient of the depths.
    """

    hessian: Float[Tensor, 'k k 6 6']
    gradient: Float[Tensor, 'k 6']
    cross: Float[Tensor, 'k k 6 n']
    curvature: Float[Tensor, 'k n']
    slope: Float[Tensor, 'k n']

    def reduced(self) -> tuple[Float[Tensor, 'm m'], Float[Tensor, ' m']]:
        """Return hessian and gradient of the poses alone, m = 6 k."""
        size = self.gradient.numel()
        cross = self.cross.flatten(1, 2)
        scaled = cross / self.curvature.unsqueeze(1)
        hessian = self.hessian.transpose(1, 2).reshape(size, size)
        hessian = hessian - (scaled @ cross.mT).sum(0)
        gradient = self.gradient.reshape(-1) - (scaled @ self.slope.unsqueeze(-1)).sum(0).squeeze(
            -1
        )
        return 0.5 * (hessian + hessian.T), gradient

    def depth_step(self, step: Float[Tensor, ' m']) -> Float[Tensor, 'k n']:
        """Return the best change of the depths for a step of the poses."""
        return -(self.slope + step @ self.cross.flatten(1, 2)) / self.curvature

    def scale_of_depths(
        self, host: int, depth: Float[Tensor, 'k n'], covariances: Float[Tensor, 'm m']
    ) -> tuple[float, Float[Tensor, ' 6']]:
        """Return how well the scale of one key frame's depths is known.

        Args:
            host: which key frame.
            depth: inverse depths of all.
            covariances: of all poses.

        Returns:
            Variance of the mean error of the logarithm of the depths, weighted by how well each
            is known were all poses right, and its covariance with the newest pose.
        """
        share = depth[host]
        weight = (share**2 * self.curvature[host]).sum()
        by_poses = self.cross[host].flatten(0, 1) @ share / weight
        shared = covariances @ by_poses
        return float(by_poses @ shared + 1.0 / weight), shared[-6:]


class WindowProblem:
    """One window, evaluated at any state.

    Pose steps are small motions (translation, rotation vector) in each camera's own axes.

    Args:
        camera: undistorted, of all key frames.
        points: of the key frames.
        sightings: of the points.
        prior: what is known of the poses besides.
        likeness: so many sightings count as one, because neighbouring points err alike.
    """

    def __init__(
        self,
        camera: CameraModel,
        points: WindowPoints,
        sightings: Sightings,
        prior: WindowPrior,
        likeness: float,
    ) -> None:
        self._camera = camera
        self._likeness = likeness
        self._points = points
        self._sightings = sightings
        self._prior = prior
        self._seen = sightings.pixel_information > 0
        self._rays = points.rays.mT.contiguous()
        self._target = torch.cat([sightings.pixel.mT, sightings.inverse_depth.unsqueeze(-2)], -2)

    def residuals(self, state: WindowState) -> WindowResiduals:
        """Return the residuals at a state."""
        s = self._sightings
        pose = torch.linalg.solve(state.poses[s.target], state.poses[s.host])
        seen = reproject(self._camera, self._rays[s.host], state.depth[s.host], pose)
        residual = seen.predicted - self._target
        chi2 = (residual[:, :2] ** 2).sum(1) * s.pixel_information
        chi2 = chi2.masked_fill(~seen.ahead & self._seen, CHI2_BEHIND)
        return WindowResiduals(
            state,
            seen,
            residual,
            chi2,
            residual[:, 2] ** 2 * s.depth_information,
            (state.depth - self._points.inverse_depth) ** 2 * self._points.information,
        )

    def freedom(self, at: WindowResiduals) -> float:
        """Return the degrees of freedom of a sighting: 2, less what depths and poses absorb."""
        s = self._sightings
        by_depth = derivatives(self._camera, at.seen)[1] ** 2
        told = s.pixel_information * by_depth[:, :2].sum(1)
        known = self._points.information.clamp_min(1e-30)
        curvature = known.index_add(0, s.host, told + s.depth_information * by_depth[:, 2])
        absorbed = float((told / curvature[s.host]).sum()) + 6.0 * (len(at.state.poses) - 1)
        return max(2.0 - absorbed / max(int(self._seen.sum()), 1), _LEAST_FREEDOM)

    def scale(self, at: WindowResiduals, freedom: float) -> float:
        """Return by how much pixel errors exceed what their variances say."""
        return robust_scale(at.chi2_pixel[self._seen], freedom)

    def cost(self, at: WindowResiduals, scale: float) -> float:
        """Return the robust cost."""
        pixel = student_cost(at.chi2_pixel / scale**2, 2.0).sum()
        depth = student_cost(at.chi2_depth / scale**2, 1.0).sum()
        known = student_cost(at.chi2_prior / scale**2, 1.0).sum()
        apart = self._sightings.pair.cost(at.seen.pose).sum() + self._prior.cost(at.state.poses)
        return float(pixel + depth + known) / self._likeness + float(apart)

    def system(self, at: WindowResiduals, scale: float) -> WindowSystem:
        """Weight the residuals robustly and build the normal equations."""
        s, points, state = self._sightings, self._points, at.state
        variance, counted = scale**2, scale**2 * self._likeness
        pixel = s.pixel_information * student_weight(at.chi2_pixel / variance, 2.0) / counted
        depth = s.depth_information * student_weight(at.chi2_depth / variance, 1.0) / counted
        known = points.information * student_weight(at.chi2_prior / variance, 1.0) / counted
        information = torch.stack([pixel, pixel, depth], 1)

        by_motion, by_depth = derivatives(self._camera, at.seen)
        weighted = information.unsqueeze(1) * by_motion
        flat, flat_weighted = by_motion.flatten(2), weighted.flatten(2)
        block = flat_weighted @ flat.mT + s.pair.hessian
        pull = (flat_weighted @ at.residual.flatten(1).unsqueeze(-1)).squeeze(-1)
        pull = pull + s.pair.slope(at.seen.pose)
        cross = (weighted * by_depth.unsqueeze(1)).sum(2)
        pulled = information * by_depth
        curvature = (pulled * by_depth).sum(1)
        slope = (pulled * at.residual).sum(1)

        system = _empty_system(state)
        host, target = s.host, s.target
        # target_from_host changes by -step of the target and by the step of the host, turned
        turn = _adjoint(at.seen.pose)
        to_host = turn.mT @ block
        system.hessian.index_put_((target, target), block, accumulate=True)
        system.hessian.index_put_((host, host), to_host @ turn, accumulate=True)
        system.hessian.index_put_((host, target), -to_host, accumulate=True)
        system.hessian.index_put_((target, host), -to_host.mT, accumulate=True)
        system.gradient.index_put_((target,), -pull, accumulate=True)
        system.gradient.index_put_((host,), (turn.mT @ pull.unsqueeze(-1)).squeeze(-1), True)
        system.cross.index_put_((host, target), -cross, accumulate=True)
        system.cross.index_put_((host, host), turn.mT @ cross, accumulate=True)
        system.curvature.index_put_((host,), curvature, accumulate=True)
        system.slope.index_put_((host,), slope, accumulate=True)
        system.curvature.add_(known).clamp_(min=1e-30)
        system.slope.add_(known * (state.depth - points.inverse_depth))
        self._prior.add_to(system.hessian, system.gradient, state.poses)
        return system


def _empty_system(state: WindowState) -> WindowSystem:
    k, n = state.depth.shape
    new = state.poses.new_zeros
    return WindowSystem(new(k, k, 6, 6), new(k, 6), new(k, k, 6, n), new(k, n), new(k, n))


def _adjoint(pose: Float[Tensor, 'p 4 4']) -> Float[Tensor, 'p 6 6']:
    """Return the matrices that turn a small motion on the right of poses into one on the left."""
    rotation, t = pose[:, :3, :3], pose[:, :3, 3]
    result = pose.new_zeros(len(pose), 6, 6)
    result[:, :3, :3] = rotation
    result[:, 3:, 3:] = rotation
    result[:, :3, 3:] = torch.linalg.cross(t.unsqueeze(-1), rotation, dim=1)
    return result
