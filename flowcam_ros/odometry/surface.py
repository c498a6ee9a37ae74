# SPDX-License-Identifier: Apache-2.0
"""Measured depth as geometry: planes of a key frame that must lie on the depth of a frame.

A plane p . X = 1 has the inverse depth p . ray, which is linear in the pixel. So the planes are
fitted to inverse depth, where the noise of sensors is even, and compared with the inverse depth
that the frame measures where the pose puts them: point to plane, in units of the sensor's noise.
"""

from __future__ import annotations

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
# Half of the squared errors of one degree of freedom lie below this.
_MEDIAN_CHI2 = 0.455
# Depth errors have patterns that neighbouring patches share, so their variances are not taken to
# be smaller than stated, however well they agree.
_MIN_SCALE = 1.0
# Farther than this share of the depth from it, a plane is not what is seen there.
_GATE = 0.05
# Planes that fit depth to this share of it confirm a pose.
_CONFIRMED = 0.02
# Fewer planes in view say nothing about a pose.
_MIN_PLANES = 100
_MIN_IN_VIEW = 0.3


@dataclass(frozen=True)
class KeyframeSurface:
    """Small planes on the measured surface of a key frame, in its camera's axes.

    Attributes:
        points: (n, 3) float64, the middle of each plane, m.
        planes: (n, 3) float64, p with p . X = 1 on the plane, 1/m.
        variance: (n,) float64 of the plane's inverse depth at its middle, 1/m^2.
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
    slopes, spread, count = _fitted_planes(values)
    middle = slopes[:, 2]
    flat = (middle > 0) & (spread < (_MAX_ROUGHNESS * middle) ** 2)
    slopes, rows, columns = slopes[flat], rows[flat], columns[flat]
    variance = spread[flat] / count[flat]
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
) -> tuple[Float[np.ndarray, 'n 3'], Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return least-squares planes (per pixel x, per pixel y, at the middle) of square patches.

    Returns:
        The planes, the mean squared distance from them, and the number of known pixels of each.
    """
    offsets = np.arange(-_HALF_PATCH, _HALF_PATCH + 1.0)
    y, x = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing='ij'))
    basis = np.stack([x, y, np.ones_like(x)], 1)
    known = (values > 0).astype(np.float64)
    count = known.sum(1)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(-1, 9)
    normal = (known @ products).reshape(-1, 3, 3)
    planes = np.linalg.solve(normal, (values @ basis)[..., None])[..., 0]
    error = (values - planes @ basis.T) * known
    return planes, (error**2).sum(1) / count, count


@dataclass(frozen=True)
class SurfaceResiduals:
    """How far the planes lie from the depth of the frame at one pose.

    Attributes:
        residual: (n,) inverse depth of the plane minus what is measured, 1/m; 0 where nothing is
            compared.
        information: (n,) inverse variance of the residual; 0 where nothing is compared.
        known: (n,) whether the plane is compared.
        by_motion: (n, 6) derivative by a small motion (translation, rotation vector) in target
            axes on the left of the pose.
        agreement: share of the planes seen with depth that lie on it within 2 %; 0 where too few
            planes are seen to tell.
    """

    residual: Float[Tensor, ' n']
    information: Float[Tensor, ' n']
    known: Bool[Tensor, ' n']
    by_motion: Float[Tensor, 'n 6']
    agreement: float

    def scale(self) -> float:
        """Return by how much errors exceed what their variances say, from their median."""
        chi2 = self.chi2()[self.known]
        if not len(chi2):
            return _MIN_SCALE
        return max(float((chi2.median() / _MEDIAN_CHI2) ** 0.5), _MIN_SCALE)

    def chi2(self) -> Float[Tensor, ' n']:
        """Return squared residuals in units of their variances."""
        return self.residual**2 * self.information

    def normal_equations(self, scale: float) -> tuple[Float[Tensor, '6 6'], Float[Tensor, ' 6']]:
        """Return Hessian and gradient of the robust cost by a small motion."""
        weights = student_weight(self.chi2() / scale**2, 1.0) * self.information / scale**2
        weighted = self.by_motion * weights.unsqueeze(-1)
        return weighted.T @ self.by_motion, weighted.T @ self.residual

    def improvement(self, after: SurfaceResiduals, scale: float) -> float:
        """Return by how much the robust cost of the planes known in both has fallen."""
        before = student_cost(self.chi2() / scale**2, 1.0)
        change = before - student_cost(after.chi2() / scale**2, 1.0)
        return float((change * (self.known & after.known)).sum())


class SurfaceTerm:
    """The planes of one key frame against the depth of one frame, at any pose.

    Args:
        surface: of the key frame.
        target: depth of the frame.
    """

    def __init__(self, surface: KeyframeSurface, target: DepthEstimate) -> None:
        self._surface = surface
        self._camera = target.camera
        device = surface.points.device
        self._inverse = torch.from_numpy(target.inverse_depth).to(device).view(-1)
        self._variance = torch.from_numpy(target.variance).to(device).view(-1)

    def residuals(self, pose: Float[Tensor, '4 4'], gate: float = _GATE) -> SurfaceResiduals:
        """Compare the planes moved by ``pose`` (target_from_source) with the measured depth.

        Planes farther than ``gate`` of the depth from it are not compared: there, something else
        is seen.
        """
        camera, surface = self._camera, self._surface
        rotation, translation = pose[:3, :3], pose[:3, 3]
        moved = surface.points @ rotation.T + translation
        z = moved[:, 2]
        column = (camera.fx * moved[:, 0] / z + camera.cx).round()
        row = (camera.fy * moved[:, 1] / z + camera.cy).round()
        inside = (z > _MIN_Z) & (column >= 0) & (column < camera.width)
        inside &= (row >= 0) & (row < camera.height)
        at = torch.where(inside, row * camera.width + column, 0.0).long()
        measured = self._inverse[at].double()
        ray = torch.stack(
            [(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, torch.ones_like(z)],
            -1,
        )
        planes = surface.planes @ rotation.T
        planes = planes / (1.0 + planes @ translation).unsqueeze(-1)
        predicted = (planes * ray).sum(-1)
        residual = predicted - measured
        seen = inside & (measured > 0)
        seen &= predicted > _MIN_COSINE * planes.norm(dim=-1) * ray.norm(dim=-1)
        known = seen & (residual.abs() < gate * measured)
        information = 1.0 / (self._variance[at].double() + surface.variance)
        by_motion = torch.cat(
            [-predicted.unsqueeze(-1) * planes, torch.linalg.cross(planes, ray)], -1
        )
        return SurfaceResiduals(
            torch.where(known, residual, 0.0),
            torch.where(known, information, 0.0),
            known,
            torch.where(known.unsqueeze(-1), by_motion, 0.0),
            _agreement(inside, seen, residual, measured),
        )


def _agreement(
    inside: Bool[Tensor, ' n'],
    seen: Bool[Tensor, ' n'],
    residual: Float[Tensor, ' n'],
    measured: Float[Tensor, ' n'],
) -> float:
    confirmed = seen & (residual.abs() < _CONFIRMED * measured)
    counts = torch.stack([inside.sum(), seen.sum(), confirmed.sum()]).tolist()
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
