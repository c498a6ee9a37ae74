# SPDX-License-Identifier: Apache-2.0
"""Measured depth as geometry: planes of a key frame that must lie on the depth of a frame.

A plane p . X = 1 has the inverse depth p . ray, which is linear in the pixel. So the planes are
fitted to inverse depth, where the noise of sensors is even, and compared with the inverse depth
that the frame measures where the pose puts them: point to plane, in units of the sensor's noise.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.odometry.robust import student_cost, student_weight

# About one patch in a cell of this size, which makes 1500 of them.
_PATCHES = 1500
_HALF_PATCH = 4
# A patch with less of its pixels known, or rougher than this share of its depth, is no plane.
_MIN_KNOWN = 0.7
_MAX_ROUGHNESS = 0.01
# Seen at a more grazing angle, a plane says little and its depth is badly measured.
_MIN_COSINE = 0.15
_MIN_Z = 0.05
_MIN_CLOSENESS = 1e-6
# Half of the squared errors of one degree of freedom lie below this.
_MEDIAN_CHI2 = 0.455
# Depth errors have patterns that neighbouring patches share, so their variances are not taken to
# be smaller than stated, however well they agree.
import os
_W=float(os.environ.get('W','0.1'))
_MIN_SCALE = float(os.environ.get('SMIN','0.5'))
# Farther than this share of the depth from it, a plane is not what is seen there.
_GATE = 0.05
# Planes that fit depth to this share of it, beyond its noise, confirm a pose.
_CONFIRMED = float(os.environ.get('CONF','0.015'))
_NOISE_SIGMAS = 2.0
# Fewer planes in view say nothing about a pose.
_MIN_PLANES = 100
_MIN_IN_VIEW = 0.3


@dataclass(frozen=True)
class KeyframeSurface:
    """Small planes on the measured surface of a key frame, in its camera's axes.

    Attributes:
        points: (n, 3) float64, the middle of each plane, m.
        planes: (n, 3) float64, p with p . X = 1 on the plane, 1/m.
        variance: (n,) float64 of one measured inverse depth there, 1/m^2.
    """

    points: Float[Tensor, 'n 3']
    planes: Float[Tensor, 'n 3']
    variance: Float[Tensor, ' n']

    def __len__(self) -> int:
        return len(self.points)


def surface_of(depth: DepthEstimate, device: torch.device) -> KeyframeSurface:
    """Fit planes to patches spread evenly over a measured depth image, where it is flat."""
    inverse, camera = depth.inverse_depth, depth.camera
    rows, columns = _patch_centres(camera)
    side = 2 * _HALF_PATCH + 1
    windows = np.lib.stride_tricks.sliding_window_view(inverse, (side, side))
    values = windows[rows - _HALF_PATCH, columns - _HALF_PATCH].reshape(-1, side * side)
    enough = (values > 0).mean(1) > _MIN_KNOWN
    values, rows, columns = values[enough].astype(np.float64), rows[enough], columns[enough]
    slopes, spread = _fitted_planes(values)
    middle = slopes[:, 2]
    flat = (middle > 0) & (spread < (_MAX_ROUGHNESS * middle) ** 2)
    slopes, rows, columns = slopes[flat], rows[flat], columns[flat]
    variance = np.maximum(spread[flat], depth.variance[rows, columns])
    ray = np.stack(
        [
            (columns - camera.cx) / camera.fx,
            (rows - camera.cy) / camera.fy,
            np.ones(len(rows)),
        ],
        1,
    )
    points = ray / slopes[:, 2:]
    # from inverse depth per pixel about the middle to inverse depth per unit of the ray
    planes = slopes * (camera.fx, camera.fy, 1.0)
    planes[:, 2] -= (planes[:, :2] * ray[:, :2]).sum(1)
    cosine = slopes[:, 2] / np.linalg.norm(planes, axis=1) / np.linalg.norm(ray, axis=1)
    seen = cosine > _MIN_COSINE
    tensors = (torch.from_numpy(a[seen]).to(device) for a in (points, planes, variance))
    return KeyframeSurface(*tensors)


def _patch_centres(camera: CameraModel) -> tuple[Int[np.ndarray, ' n'], Int[np.ndarray, ' n']]:
    cell = max(1, round(np.sqrt(camera.width * camera.height / _PATCHES)))
    first = max(_HALF_PATCH, cell // 2)
    rows, columns = np.mgrid[
        first : camera.height - _HALF_PATCH : cell, first : camera.width - _HALF_PATCH : cell
    ]
    return rows.ravel(), columns.ravel()


def _fitted_planes(
    values: Float[np.ndarray, 'n k'],
) -> tuple[Float[np.ndarray, 'n 3'], Float[np.ndarray, ' n']]:
    """Return least-squares planes (per pixel x, per pixel y, at the middle) of square patches.

    Returns:
        The planes and the mean squared distance from them.
    """
    offsets = np.arange(-_HALF_PATCH, _HALF_PATCH + 1.0)
    y, x = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing='ij'))
    basis = np.stack([x, y, np.ones_like(x)], 1)
    known = (values > 0).astype(np.float64)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(-1, 9)
    normal = (known @ products).reshape(-1, 3, 3)
    planes = np.linalg.solve(normal, (values @ basis)[..., None])[..., 0]
    error = (values - planes @ basis.T) * known
    return planes, (error**2).sum(1) / known.sum(1)


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
        count: factor on cost and information.
    """

    residual: Float[Tensor, ' n']
    chi2: Float[Tensor, ' n']
    information: Float[Tensor, ' n']
    known: Bool[Tensor, ' n']
    by_motion: Float[Tensor, '6 n']
    scale: float
    agreement: float
    count: float

    def normal_equations(self) -> tuple[Float[Tensor, '6 6'], Float[Tensor, ' 6']]:
        """Return Hessian and gradient of the robust cost by a small motion."""
        variance = self.scale**2
        weights = student_weight(self.chi2 / variance, 1.0) * self.information
        weighted = self.by_motion * (weights * (_W * self.count / variance))
        return weighted @ self.by_motion.T, weighted @ self.residual

    def improvement(self, after: SurfaceResiduals) -> float:
        """Return by how much the robust cost of the planes known in both has fallen."""
        variance = self.scale**2
        change = student_cost(self.chi2 / variance, 1.0) - student_cost(after.chi2 / variance, 1.0)
        return _W * self.count * float((change * (self.known & after.known)).sum())


class SurfaceTerm:
    """The planes of one key frame against the depth of one frame, at any pose.

    Args:
        surface: of the key frame.
        target: depth of the frame.
    """

    def __init__(self, surface: KeyframeSurface, target: DepthEstimate) -> None:
        device, camera = surface.points.device, target.camera
        self._points, self._planes = surface.points.T.contiguous(), surface.planes.T.contiguous()
        self._steepest = _MIN_COSINE * self._planes.norm(dim=0)
        self._noise = _NOISE_SIGMAS * surface.variance.sqrt()
        self._inverse = torch.from_numpy(target.inverse_depth).to(device).view(-1)
        self._variance = torch.from_numpy(target.variance).to(device).view(-1)
        new = surface.points.new_tensor
        self._focal = new([[camera.fx], [camera.fy]])
        self._centre = new([[camera.cx], [camera.cy]])
        self._last = new([[camera.width - 1.0], [camera.height - 1.0]])
        self._stride = new([1.0, camera.width])
        self._count = 1.0

    def counted(self, factor: float) -> SurfaceTerm:
        """Return the same term with its cost and information multiplied."""
        result = copy.copy(self)
        result._count = factor
        return result

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
        scale = max(float((chi2[known].median() / _MEDIAN_CHI2) ** 0.5), _MIN_SCALE)
        agreement = _share(inside, seen, confirmed)
        return SurfaceResiduals(residual, chi2, information, known, by_motion, scale, agreement, self._count)


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
