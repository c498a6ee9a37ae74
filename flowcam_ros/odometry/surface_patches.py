# SPDX-License-Identifier: Apache-2.0
"""Planes fitted to small patches of a measured depth image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel

# About one patch in a cell of this size, which makes 1500 of them.
_PATCHES = 1500
# A patch is a square of 9 x 9 pixels: next to each other where the surface bends nearby, three
# apart where it does not, which makes the normal three times surer.
_HALF = 4
_NEAR, _WIDE = 1, 3
# A patch with less of its pixels known, or rougher than this share of its depth and than so many
# times the noise of the sensor, is no plane.
_MIN_KNOWN = 0.7
_MAX_ROUGHNESS = 0.01
_NOISY = 1.5
# The wide patch may be this much rougher than the near one: more is a bend.
_BENT = 2.0
# Seen at a more grazing angle, a plane says little and its depth is badly measured.
MIN_COSINE = 0.15


@dataclass(frozen=True)
class KeyframeSurface:
    """Small planes on the measured surface of a key frame, in its camera's axes.

    Attributes:
        points: (n, 3) float64, the middle of each plane, m.
        planes: (n, 3) float64, p with p . X = 1 on the plane, 1/m.
        variance: (n,) float64 of one measured inverse depth there, 1/m^2.
        slope_variance: (n,) float64 of the plane's first two numbers, 1/m^2.
    """

    points: Float[Tensor, 'n 3']
    planes: Float[Tensor, 'n 3']
    variance: Float[Tensor, ' n']
    slope_variance: Float[Tensor, ' n']

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class _Patches:
    """Least-squares planes of square patches; rows are (per pixel x, per pixel y, middle)."""

    planes: Float[np.ndarray, 'n 3']
    spread: Float[np.ndarray, ' n']
    slope_variance: Float[np.ndarray, ' n']
    flat: Bool[np.ndarray, ' n']


def surface_of(depth: DepthEstimate, device: torch.device) -> KeyframeSurface:
    """Fit planes to patches spread evenly over a measured depth image, where it is flat."""
    camera = depth.camera
    rows, columns = _patch_centres(camera)
    padded = np.pad(depth.inverse_depth, _WIDE * _HALF)
    # where nothing but noise makes depth unsure
    noise = float(depth.variance.min(initial=np.inf, where=depth.inverse_depth > 0))
    roughest = _NOISY**2 * noise if np.isfinite(noise) else 0.0
    near = _fitted(padded, rows, columns, _NEAR, roughest)
    wide = _fitted(padded, rows, columns, _WIDE, roughest)
    bent = ~wide.flat | (wide.spread > _BENT**2 * np.maximum(near.spread, 1e-12))
    # without a measured middle nothing is known of the noise
    pick = near.flat & (depth.inverse_depth[rows, columns] > 0)
    planes = np.where(bent[:, None], near.planes, wide.planes)[pick]
    slope_variance = np.where(bent, near.slope_variance, wide.slope_variance)[pick] * camera.fx**2
    rows, columns = rows[pick], columns[pick]
    variance = np.maximum(near.spread[pick], depth.variance[rows, columns])
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    ray = np.stack([x, y, np.ones_like(x)], 1)
    points = ray / planes[:, 2:]
    cosine = planes[:, 2].copy()
    # from inverse depth per pixel about the middle to inverse depth per unit of the ray
    planes *= (camera.fx, camera.fy, 1.0)
    planes[:, 2] -= (planes[:, :2] * ray[:, :2]).sum(1)
    cosine /= np.linalg.norm(planes, axis=1) * np.linalg.norm(ray, axis=1)
    arrays = (points, planes, variance, slope_variance)
    return KeyframeSurface(*(torch.from_numpy(a[cosine > MIN_COSINE]).to(device) for a in arrays))


def _patch_centres(camera: CameraModel) -> tuple[Int[np.ndarray, ' n'], Int[np.ndarray, ' n']]:
    cell = max(1, round(np.sqrt(camera.width * camera.height / _PATCHES)))
    rows, columns = np.mgrid[cell // 2 : camera.height : cell, cell // 2 : camera.width : cell]
    return rows.ravel(), columns.ravel()


def _fitted(
    padded: Float[np.ndarray, 'h w'],
    rows: Int[np.ndarray, ' n'],
    columns: Int[np.ndarray, ' n'],
    spacing: int,
    roughest: float,
) -> _Patches:
    """Fit planes to patches of pixels ``spacing`` apart; unknown pixels are left out.

    Patches with a spread (variance of inverse depth about the plane) of up to ``roughest``, or to
    a share of their depth, are flat.
    """
    size = 2 * _HALF * spacing + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    first = (_WIDE - spacing) * _HALF
    windows = windows[:, :, ::spacing, ::spacing]
    values = windows[rows + first, columns + first].reshape(len(rows), -1).astype(np.float64)
    offsets = spacing * np.arange(-_HALF, _HALF + 1.0)
    y, x = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing='ij'))
    basis = np.stack([x, y, np.ones_like(x)], 1)
    known = (values > 0).astype(np.float64)
    count = known.sum(1)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(-1, 9)
    normal = (known @ products).reshape(-1, 3, 3)
    enough = count > _MIN_KNOWN * len(basis)
    normal[~enough] = np.eye(3)
    inverse = np.linalg.inv(normal)
    planes = (inverse @ (values @ basis)[..., None])[..., 0]
    spread = (((values - planes @ basis.T) * known) ** 2).sum(1) / np.maximum(count - 3.0, 1.0)
    middle = planes[:, 2]
    limit = np.maximum((_MAX_ROUGHNESS * middle) ** 2, roughest)
    flat = enough & (middle > 0) & (spread < limit)
    # fewer pixels, at a border or beside holes, leave the slopes less sure
    slopes = 0.5 * (inverse[:, 0, 0] + inverse[:, 1, 1])
    return _Patches(planes, spread, spread * slopes, flat)
