# SPDX-License-Identifier: Apache-2.0
"""Two depth images aligned without any matches between the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.small_motion import small_motion
from flowcam_ros.odometry.surface import SurfaceTerm

# Coarse to fine: share of the depth within which planes are compared.
_GATES = (0.3, 0.1, 0.05)
_STEPS = 10
_SMALL_STEP = 1e-4
# Poses that differ by less (m, or sine of an angle) have come to the same place.
_SAME_PLACE = 3e-3
# Worse conditioned, a direction is open: a single plane, a tube, too little depth.
_MAX_CONDITION = 3e3


@dataclass(frozen=True)
class SurfaceFit:
    """How the depth of a frame lies on the surface of a key frame.

    Attributes:
        target_from_source: (4, 4) float64.
        hessian: (6, 6) of the robust cost, by a small motion in the target's axes.
        covariance: (6, 6) of the pose, its inverse.
        condition: condition number of the normal matrix, scaled to unit diagonal.
        agreement: share of the planes in view that lie on the depth.
    """

    target_from_source: Float[Tensor, '4 4']
    hessian: Float[Tensor, '6 6']
    covariance: Float[Tensor, '6 6']
    condition: float
    agreement: float

    def repeats(self, other: SurfaceFit) -> bool:
        """Whether two fits from different starts have come to the same place."""
        gap = self.target_from_source - other.target_from_source
        return float(gap.abs().max()) < _SAME_PLACE


def align_surface(term: SurfaceTerm, start: Float[Tensor, '4 4']) -> SurfaceFit | None:
    """Align two depth images from a first guess of target_from_source, coarse to fine.

    Returns:
        The fit, which may be a wrong one unless its agreement is high; None where the surfaces
        leave a direction open.
    """
    pose = start
    for gate in _GATES:
        for _ in range(_STEPS):
            at = term.residuals(pose, gate)
            hessian, gradient = at.normal_equations()
            if not _condition(hessian) < _MAX_CONDITION:
                return None
            step = torch.linalg.solve(hessian, -gradient)
            pose = small_motion(step) @ pose
            if float(step.abs().max()) < _SMALL_STEP:
                break
    at = term.residuals(pose)
    hessian, _ = at.normal_equations()
    condition = _condition(hessian)
    if not condition < _MAX_CONDITION:
        return None
    return SurfaceFit(pose, hessian, torch.linalg.inv(hessian), condition, at.agreement)


def _condition(hessian: Float[Tensor, '6 6']) -> float:
    """Return the condition number of a normal matrix scaled to unit diagonal; inf if singular."""
    diagonal = hessian.diagonal()
    if not bool((diagonal > 0).all()) or not bool(torch.isfinite(hessian).all()):
        return float('inf')
    root = diagonal.sqrt()
    values = torch.linalg.eigvalsh(hessian / torch.outer(root, root))
    return float(values[-1] / values[0]) if float(values[0]) > 0 else float('inf')
