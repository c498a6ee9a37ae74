# SPDX-License-Identifier: Apache-2.0
"""All poses, the lens and the points of tracks as one robust least-squares problem.

A point is x = origin + axes (a, b, 1) / rho: a ray of the camera it was first placed from, which
stays where it was when the problem was posed, and an inverse depth along it. That is finite for
points at infinity, and each observation depends on one pose only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from flowcam_ros.flowmap.bundle_system import BundleBlock, BundleSystem
from flowcam_ros.flowmap.lens import LENS_NUMBERS, Lens, project_with_derivatives
from flowcam_ros.odometry.robust import CHI2_BEHIND, robust_scale, student_cost, student_weight

# Of a point of the camera times its inverse depth where it was placed from. Nearer than this it
# passes beside the lens: its derivatives would drown those of all others.
_MIN_Z = 0.02
_LEAST_FREEDOM = 0.5
# Observations whose derivatives are held at a time.
_BLOCK = 8192


@dataclass(frozen=True)
class Observations:
    """Where frames see points; n observations, sorted by point.

    Attributes:
        point: (n,).
        frame: (n,).
        pixel: (n, 2).
        information: (n,) inverse variance of each coordinate.
        inverse_depth: (n,) measured there.
        depth_information: (n,) inverse variance of that; 0 where nothing was measured.
    """

    point: Int64[Tensor, ' n']
    frame: Int64[Tensor, ' n']
    pixel: Float[Tensor, 'n 2']
    information: Float[Tensor, ' n']
    inverse_depth: Float[Tensor, ' n']
    depth_information: Float[Tensor, ' n']


@dataclass(frozen=True)
class Charts:
    """The fixed frames in which points have their coordinates.

    Attributes:
        origin: (p, 3) in the world.
        axes: (p, 3, 3) world_from_chart.
    """

    origin: Float[Tensor, 'p 3']
    axes: Float[Tensor, 'p 3 3']

    def world(self, points: Float[Tensor, 'p 3']) -> Float[Tensor, 'p 3']:
        """Return the positions of points given as (a, b, rho)."""
        ray = torch.cat([points[:, :2], torch.ones_like(points[:, :1])], -1)
        return self.origin + (self.axes @ ray.unsqueeze(-1)).squeeze(-1) / points[:, 2:]


@dataclass(frozen=True)
class LensPrior:
    """What is known of the lens: its numbers, and the inverse variances of those that are free.

    Attributes:
        numbers: (5,) expected.
        information: (5,) inverse variance; 0 for "free, nothing known".
        free: (5,) False for numbers that stay as they are.
    """

    numbers: Float[Tensor, ' 5']
    information: Float[Tensor, ' 5']
    free: Bool[Tensor, ' 5']


@dataclass(frozen=True)
class BundleState:
    """The unknowns: (f, 4, 4) world_from_camera, the lens, and (p, 3) points (a, b, rho)."""

    poses: Float[Tensor, 'f 4 4']
    lens: Lens
    points: Float[Tensor, 'p 3']


@dataclass(frozen=True)
class BundleResiduals:
    """What remains at one state.

    Attributes:
        state: where.
        ahead: (n,) False where the point is behind the camera or passes beside it.
        residual: (n, 3) pixel x, pixel y, inverse depth.
        chi2_pixel: (n,) squared error in units of variance.
        chi2_depth: (n,) the same of the measured inverse depth.
    """

    state: BundleState
    ahead: Bool[Tensor, ' n']
    residual: Float[Tensor, 'n 3']
    chi2_pixel: Float[Tensor, ' n']
    chi2_depth: Float[Tensor, ' n']


class BundleProblem:
    """Observations of points by cameras that share a lens, evaluated at any state.

    Pose steps are small motions (translation, rotation vector) in each camera's own axes.
    """

    def __init__(self, charts: Charts, observations: Observations, prior: LensPrior) -> None:
        self.charts = charts
        self.observations = observations
        self._prior = prior

    def residuals(self, state: BundleState) -> BundleResiduals:
        """Return the residuals at a state."""
        o = self.observations
        residual = o.pixel.new_empty(len(o.point), 3)
        ahead = torch.empty(len(o.point), dtype=torch.bool, device=residual.device)
        for where in self._blocks():
            moved, residual[where] = self._residuals(state, where)
            ahead[where] = moved[:, 2] >= _MIN_Z
        chi2 = residual[:, :2].square().sum(-1) * o.information
        chi2 = chi2.masked_fill(~ahead, CHI2_BEHIND)
        return BundleResiduals(
            state, ahead, residual, chi2, residual[:, 2].square() * o.depth_information
        )

    def scale(self, at: BundleResiduals) -> float:
        """Return by how much pixel errors exceed what their variances say."""
        unknowns = at.state.points.numel() + 6 * len(at.state.poses)
        freedom = 2.0 - unknowns / max(len(at.chi2_pixel), 1)
        return robust_scale(at.chi2_pixel, max(freedom, _LEAST_FREEDOM))

    def cost(self, at: BundleResiduals, scale: float) -> float:
        """Return the robust cost."""
        pixel = student_cost(at.chi2_pixel / scale**2, 2.0).sum()
        depth = student_cost(at.chi2_depth, 1.0).sum()
        shift = at.state.lens.numbers - self._prior.numbers
        return float(pixel + depth + 0.5 * (shift.square() * self._prior.information).sum())

    def system(self, at: BundleResiduals, scale: float) -> BundleSystem:
        """Weight the residuals robustly and build the normal equations."""
        o, state, free = self.observations, at.state, self._prior.free
        shift = state.lens.numbers - self._prior.numbers
        return BundleSystem(
            self.blocks(at, scale),
            o.point,
            o.frame,
            self._prior.information[free],
            (self._prior.information * shift)[free],
            (len(state.poses), len(state.points)),
        )

    def blocks(self, at: BundleResiduals, scale: float) -> Iterator[BundleBlock]:
        """Yield all residuals with their robust weights and derivatives, in order."""
        return (self._block(at, scale, where) for where in self._blocks())

    def stepped(
        self,
        state: BundleState,
        poses: Float[Tensor, 'f 4 4'],
        lens: Float[Tensor, ' l'],
        points: Float[Tensor, 'p 3'],
    ) -> BundleState:
        """Return a state with new poses, and changes of the free lens numbers and the points."""
        numbers = state.lens.numbers.clone()
        numbers[self._prior.free] += lens
        return BundleState(poses, Lens(numbers, state.lens.aspect), state.points + points)

    def _blocks(self) -> Iterator[slice]:
        total = len(self.observations.point)
        for begin in range(0, total, _BLOCK):
            yield slice(begin, min(begin + _BLOCK, total))

    def _residuals(
        self, state: BundleState, where: slice
    ) -> tuple[Float[Tensor, 'k 3'], Float[Tensor, 'k 3']]:
        """Return where some points are before their cameras, and the residuals."""
        o, charts = self.observations, self.charts
        point, frame = o.point[where], o.frame[where]
        at = state.points[point]
        ray = torch.cat([at[:, :2], torch.ones_like(at[:, :1])], -1)
        away = (charts.origin[point] - state.poses[frame, :3, 3]) * at[:, 2:]
        away = away + (charts.axes[point] @ ray.unsqueeze(-1)).squeeze(-1)
        moved = (state.poses[frame, :3, :3].mT @ away.unsqueeze(-1)).squeeze(-1)
        inverse = at[:, 2] / moved[:, 2].clamp_min(_MIN_Z) - o.inverse_depth[where]
        pixel = state.lens.project(moved) - o.pixel[where]
        return moved, torch.cat([pixel, inverse.unsqueeze(-1)], -1)

    def _weights(self, at: BundleResiduals, scale: float, where: slice) -> Float[Tensor, 'k 3']:
        """Return how much some residuals count; nothing behind the camera does."""
        o = self.observations
        chi2 = at.chi2_pixel[where] / scale**2
        pixel = o.information[where] * student_weight(chi2, 2.0) / scale**2
        depth = o.depth_information[where] * student_weight(at.chi2_depth[where], 1.0)
        weight = torch.stack([pixel, pixel, depth], -1)
        return weight.masked_fill(~at.ahead[where].unsqueeze(-1), 0.0)

    def _block(self, at: BundleResiduals, scale: float, where: slice) -> BundleBlock:
        """Return how some residuals change with pose, lens and point."""
        o, charts, state = self.observations, self.charts, at.state
        moved, _ = self._residuals(state, where)
        point, frame = o.point[where], o.frame[where]
        seen = project_with_derivatives(state.lens, moved)
        z = moved[:, 2].clamp_min(_MIN_Z)
        rho = state.points[point, 2]
        by_moved = moved.new_zeros(len(moved), 3, 3)
        by_moved[:, :2] = seen.by_point
        by_moved[:, 2, 2] = -rho / z**2
        by_pose = torch.cat([-by_moved * rho[:, None, None], by_moved @ _skew(moved)], -1)
        turned = state.poses[frame, :3, :3].mT
        away = charts.origin[point] - state.poses[frame, :3, 3]
        moved_by_point = turned @ torch.cat([charts.axes[point, :, :2], away.unsqueeze(-1)], -1)
        by_point = by_moved @ moved_by_point
        by_point[:, 2, 2] += 1.0 / z
        by_lens = moved.new_zeros(len(moved), 3, LENS_NUMBERS)
        by_lens[:, :2] = seen.by_lens
        by_lens = by_lens[:, :, self._prior.free]
        weight = self._weights(at, scale, where)
        return BundleBlock(where, weight, at.residual[where], by_pose, by_lens, by_point)


def _skew(vectors: Float[Tensor, 'n 3']) -> Float[Tensor, 'n 3 3']:
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
