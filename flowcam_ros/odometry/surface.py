# SPDX-License-Identifier: Apache-2.0
"""Measured depth as geometry: planes of a key frame that must lie on the depth of a frame.

A plane p . X = 1 has the inverse depth p . ray, which is linear in the pixel. So the planes are
fitted to inverse depth, where the noise of sensors is even, and compared with the inverse depth
that the frame measures where the pose puts them: point to plane, in units of the sensor's noise.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.odometry.robust import student_cost, student_weight
from flowcam_ros.odometry.surface_patches import MIN_COSINE, KeyframeSurface, surface_of

_MIN_Z = 0.05
_MIN_CLOSENESS = 1e-6
# Half of the squared errors of one degree of freedom lie below this.
_MEDIAN_CHI2 = 0.455
# Depth errors have patterns that neighbouring patches share, so their variances are not taken to
# be smaller than stated, however well they agree.
_MIN_SCALE = 0.5
# So many patches share one error of the depth camera, which does not average out.
_ALIKE = 10.0
# Directions that tell less than so many times what noise would are open.
_SPURIOUS = 3.0
# Farther than this share of the depth from it, a plane is not what is seen there.
_GATE = 0.05
# Planes that fit depth to this share of it, beyond its noise, confirm a pose.
_CONFIRMED = 0.015
_NOISE_SIGMAS = 2.0
# Fewer planes in view say nothing about a pose.
_MIN_PLANES = 100
_MIN_IN_VIEW = 0.3
# Every so many planes tell which first guess is best; half the misfit is reached at this share
# of the depth.
_MISFIT_STEP = 3
_MISFIT_HALF = 0.1


@dataclass(frozen=True)
class SurfaceResiduals:
    """How far the planes lie from the depth of the frame at one pose.

    Attributes:
        residual: (n,) inverse depth of the plane minus what is measured, 1/m.
        chi2: (n,) its square in units of variance; 0 where nothing is compared.
        information: (n,) inverse variance of the residual; 0 where nothing is compared.
        known: (n,) whether the plane is compared.
        by_motion: (6, n) derivative by a small motion (translation, rotation vector) in target
            axes on the left of the pose.
        scale: by how much errors exceed what their variances say (standard deviation).
        agreement: share of the planes seen with depth that lie on it; 0 where too few planes are
            seen to tell.
        ray: (3, n) where the planes are seen.
        inverse_depth: (n,) of the planes there.
        slope_information: (n,) information times the variance of the planes' slopes.
        count: factor on cost and information.
    """

    residual: Float[Tensor, ' n']
    chi2: Float[Tensor, ' n']
    information: Float[Tensor, ' n']
    known: Bool[Tensor, ' n']
    by_motion: Float[Tensor, '6 n']
    scale: float
    agreement: float
    ray: Float[Tensor, '3 n']
    inverse_depth: Float[Tensor, ' n']
    slope_information: Float[Tensor, ' n']
    count: float

    def normal_equations(self) -> tuple[Float[Tensor, '6 6'], Float[Tensor, ' 6']]:
        """Return Hessian and gradient of the robust cost by a small motion."""
        weighted = self.by_motion * (self._weights() * self.information)
        return weighted @ self.by_motion.T, weighted @ self.residual

    def belief(self) -> tuple[Float[Tensor, '6 6'], Float[Tensor, ' 6']]:
        """Return Hessian and gradient without what only the noise of normals seems to tell.

        On one wall nothing tells how far the camera slid along it, but noisy normals point all
        ways and seem to. What noise would tell of each direction by itself is known; directions
        that tell hardly more are left open. The best motion stays where it is.
        """
        hessian, gradient = self.normal_equations()
        noise = self._of_noise()
        floor = 1e-12 * (hessian + noise).diagonal() + 1e-30
        root = torch.linalg.cholesky(noise + torch.diag(floor))
        ratio = torch.linalg.solve_triangular(root, hessian, upper=False)
        ratio = torch.linalg.solve_triangular(root, ratio.T, upper=False)
        values, vectors = torch.linalg.eigh(0.5 * (ratio + ratio.T))
        kept = (1.0 - _SPURIOUS / values.clamp_min(_SPURIOUS)) * values
        basis = root @ vectors
        pull = vectors.T @ torch.linalg.solve_triangular(root, gradient[:, None], upper=False)
        share = (kept / values.clamp_min(_SPURIOUS)).unsqueeze(-1)
        return (basis * kept) @ basis.T, (basis @ (share * pull)).squeeze(-1)

    def _weights(self) -> Float[Tensor, ' n']:
        variance = self.scale**2
        return student_weight(self.chi2 / variance, 1.0) * (self.count / (_ALIKE * variance))

    def _of_noise(self) -> Float[Tensor, '6 6']:
        """Return the Hessian of planes with the right depth and normals of mere noise."""
        x, y, one = self.ray
        depth, zero = self.inverse_depth, torch.zeros_like(x)
        across = torch.stack([-depth, zero, depth * x, x * y, -one - x * x, y])
        down = torch.stack([zero, -depth, depth * y, one + y * y, -x * y, -x])
        weights = self._weights() * self.slope_information
        return (across * weights) @ across.T + (down * weights) @ down.T

    def improvement(self, after: SurfaceResiduals) -> float:
        """Return by how much the robust cost of the planes known in both has fallen."""
        variance = self.scale**2
        change = student_cost(self.chi2 / variance, 1.0) - student_cost(after.chi2 / variance, 1.0)
        return self.count / _ALIKE * float((change * (self.known & after.known)).sum())


class SurfaceTerm:
    """The planes of one key frame against the depth of one frame, at any pose.

    Args:
        surface: of the key frame.
        target: depth of the frame.
    """

    def __init__(self, surface: KeyframeSurface, target: DepthEstimate) -> None:
        device, camera = surface.points.device, target.camera
        self._points, self._planes = surface.points.T.contiguous(), surface.planes.T.contiguous()
        self._steepest = MIN_COSINE * self._planes.norm(dim=0)
        self._slope_variance = surface.slope_variance
        self._noise = _NOISE_SIGMAS * surface.variance.sqrt()
        self._inverse = torch.from_numpy(target.inverse_depth).to(device).reshape(-1)
        self._variance = torch.from_numpy(target.variance).to(device).reshape(-1)
        new = surface.points.new_tensor
        self._focal = new([[camera.fx], [camera.fy]])
        self._centre = new([[camera.cx], [camera.cy]])
        self._last = new([[camera.width - 1.0], [camera.height - 1.0]])
        self._stride = new([1.0, camera.width])
        self._count = 1.0
        self.view_angle = math.atan(camera.width / (2.0 * camera.fx))

    def counted(self, factor: float) -> SurfaceTerm:
        """Return the same term with its cost and information multiplied."""
        result = copy.copy(self)
        result._count = factor
        return result

    def misfit(self, poses: Float[Tensor, 'k 4 4']) -> Float[Tensor, ' k']:
        """Return how badly some of the planes fit at each pose, 0 to 1; 1 where few are seen.

        Rough but quick, and blind to nothing: it tells which of many first guesses to try.
        """
        points = self._points[:, ::_MISFIT_STEP]
        moved = poses[:, :3, :3] @ points + poses[:, :3, 3:]
        z = moved[:, 2:].clamp_min(_MIN_Z)
        pixel = (moved[:, :2] / z * self._focal + self._centre).round_()
        nearest = torch.minimum(pixel.clamp_min(0.0), self._last)
        inside = (nearest == pixel).all(1) & (moved[:, 2] > _MIN_Z)
        measured = self._inverse[torch.where(inside, self._stride @ nearest, 0.0).long()].double()
        seen = inside & (measured > 0)
        error = (1.0 - z.squeeze(1) * measured).abs()
        count = seen.sum(1)
        mean = (error / (error + _MISFIT_HALF) * seen).sum(1) / count.clamp_min(1)
        return torch.where(count > _MIN_IN_VIEW * points.shape[1], mean, 1.0)

    def residuals(self, pose: Float[Tensor, '4 4'], gate: float = _GATE) -> SurfaceResiduals:
        """Compare the planes moved by ``pose`` (target_from_source) with the measured depth.

        Planes farther than ``gate`` of the depth from it are not compared: there, something else
        is seen.
        """
        rotation, translation = pose[:3, :3], pose[:3, 3]
        moved = torch.addmm(pose[:3, 3:], rotation, self._points)
        z = moved[2].clamp_min(_MIN_Z)
        pixel = (moved[:2] / z * self._focal + self._centre).round_()
        nearest = torch.minimum(pixel.clamp_min(0.0), self._last)
        inside = (nearest == pixel).all(0) & (moved[2] > _MIN_Z)
        at = torch.where(inside, self._stride @ nearest, 0.0).long()
        measured = self._inverse[at].double()
        ray = torch.ones_like(moved)
        ray[:2] = (nearest - self._centre) / self._focal

        # p . X = 1 becomes q . (X - t) = 1 with q = R p; clamped where it is seen from behind
        planes = rotation @ self._planes
        closeness = (1.0 + translation @ planes).clamp_min_(_MIN_CLOSENESS)
        planes /= closeness
        predicted = (planes * ray).sum(0)
        residual = predicted - measured
        seen = inside & (measured > 0) & (predicted * closeness > self._steepest)
        error = residual.abs() - self._noise
        known = seen & (error < gate * measured)
        confirmed = seen & (error < _CONFIRMED * measured)
        information = known / self._variance[at].double()
        chi2 = residual**2 * information
        by_motion = torch.cat([-predicted * planes, torch.linalg.cross(planes, ray, dim=0)])
        return SurfaceResiduals(
            residual,
            chi2,
            information,
            known,
            by_motion,
            _scale(chi2[known]),
            _share(inside, seen, confirmed),
            ray,
            predicted,
            information * self._slope_variance,
            self._count,
        )


def _scale(chi2: Float[Tensor, ' n']) -> float:
    if not len(chi2):
        return 1.0
    return max(float((chi2.median() / _MEDIAN_CHI2) ** 0.5), _MIN_SCALE)


def _share(
    inside: Bool[Tensor, ' n'], seen: Bool[Tensor, ' n'], confirmed: Bool[Tensor, ' n']
) -> float:
    counts = torch.stack([inside, seen, confirmed]).sum(1).tolist()
    if counts[1] < max(_MIN_PLANES, _MIN_IN_VIEW * len(inside)):
        return 0.0
    return counts[2] / counts[1]


class SurfaceMemory:
    """Surfaces of the key frames used last, each made when it is first asked for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: deque[tuple[DepthEstimate, KeyframeSurface]] = deque(maxlen=3)

    def term(self, source: DepthEstimate, target: DepthEstimate | None) -> SurfaceTerm | None:
        """Compare the measured depth of a key frame with a frame's; None where there is none."""
        if target is None:
            return None
        surface = next((s for depth, s in self._known if depth is source), None)
        if surface is None:
            surface = surface_of(source, self._device)
            self._known.append((source, surface))
        return SurfaceTerm(surface, target) if len(surface) >= _MIN_PLANES else None
