# SPDX-License-Identifier: Apache-2.0
"""3-D Gaussians as they start, and the steps they are moved by (Kerbl et al., SIGGRAPH 2023)."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch.nn import Parameter, ParameterDict

from flowcam_ros.sequences.colmap_model import ColmapPoints

# Constant of the first spherical harmonic: a colour is 0.5 plus this times its coefficient.
SH_CONSTANT = 0.5 / math.sqrt(math.pi)
SH_DEGREE = 3
_START_OPACITY = 0.1
_NEIGHBOURS = 3
# Extent of a Gaussian without neighbours at a distance, as a share of the scene.
_LONE = 0.01
# Steps of Adam for each kind of parameter; that of the means goes with the size of the scene.
_STEPS = {
    'means': 1.6e-4,
    'scales': 5e-3,
    'quats': 1e-3,
    'opacities': 5e-2,
    'sh0': 2.5e-3,
    'shN': 2.5e-3 / 20.0,
}


def initial_gaussians(points: ColmapPoints, radius: float) -> ParameterDict:
    """Return one Gaussian a point, round, as wide as the distance to its neighbours.

    Args:
        points: where they start, with their colours.
        radius: extent of the cameras, for points without neighbours.

    Returns:
        ``means`` (N, 3), ``scales`` (N, 3) logarithms, ``quats`` (N, 4) w x y z, ``opacities``
        (N,) logits, ``sh0`` (N, 1, 3) and ``shN`` (N, 15, 3) coefficients of the colour.
    """
    count = len(points.positions)
    width = _neighbour_distance(points.positions, radius)
    quaternions = torch.zeros(count, 4)
    quaternions[:, 0] = 1.0
    colors = torch.from_numpy(points.colors.astype(np.float32) / 255.0)
    values = {
        'means': torch.from_numpy(points.positions.astype(np.float32)),
        'scales': torch.from_numpy(np.log(width)).to(torch.float32)[:, None].repeat(1, 3),
        'quats': quaternions,
        'opacities': torch.full((count,), math.log(_START_OPACITY / (1.0 - _START_OPACITY))),
        'sh0': ((colors - 0.5) / SH_CONSTANT)[:, None],
        'shN': torch.zeros(count, (SH_DEGREE + 1) ** 2 - 1, 3),
    }
    return ParameterDict({name: Parameter(value) for name, value in values.items()})


def make_optimizers(gaussians: ParameterDict, radius: float) -> dict[str, torch.optim.Adam]:
    """Return one optimizer for each kind of parameter, as gsplat's strategies want them."""
    return {
        name: torch.optim.Adam(
            [gaussians[name]], lr=step * (radius if name == 'means' else 1.0), eps=1e-15
        )
        for name, step in _STEPS.items()
    }


def _neighbour_distance(positions: np.ndarray, radius: float) -> np.ndarray:
    """Return (N,) the root mean square distance to the three nearest points."""
    nearest = list(range(2, _NEIGHBOURS + 2))  # the first is the point itself
    distances, _ = cKDTree(positions).query(positions, k=nearest)
    mean = np.sqrt(np.square(distances).mean(axis=1))
    lone = ~np.isfinite(mean) | (mean <= 1e-7 * radius)
    return np.where(lone, _LONE * radius, mean)
