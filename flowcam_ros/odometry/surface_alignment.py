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
# So many of the first guesses are followed.
_TRIES = 4
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


def align_surface(term: SurfaceTerm, starts: Float[Tensor, 'k 4 4']) -> list[SurfaceFit]:
    """Align two depth images from first guesses of target_from_source, and from turns of them.

    Without texture, a wrong way of sliding one surface along the other ends in a minimum, too; it
    is known by its low agreement.

    Returns:
        Different fits, the one with the highest agreement first; those that leave a direction
        open, as on a single wall, are left out.
    """
    guesses = torch.cat([starts, *(_turned(start, term.view_angle) for start in starts)])
    order = term.misfit(guesses).argsort()[:_TRIES].tolist()
    fits: list[SurfaceFit] = []
    for guess in guesses[order]:
        fit = _fit(term, guess)
        if fit is not None and not any(fit.repeats(other) for other in fits):
            fits.append(fit)
    return sorted(fits, key=lambda fit: -fit.agreement)


def _turned(pose: Float[Tensor, '4 4'], view_angle: float) -> Float[Tensor, 'n 4 4']:
    """Turn the camera left and right, up and down, in steps of an eighth of the view."""
    step = view_angle / 4.0
    up, right = torch.meshgrid(torch.arange(-2, 3), torch.arange(-3, 4), indexing='ij')
    turns = pose.new_zeros(up.numel(), 6)
    turns[:, 3], turns[:, 4] = step * up.flatten(), step * right.flatten()
    return small_motion(turns) @ pose


def _fit(term: SurfaceTerm, start: Float[Tensor, '4 4']) -> SurfaceFit | None:
    """Align from one first guess, coarse to fine; None where a direction is open."""
    pose = start
    for gate in _GATES:
        for _ in range(_STEPS):
            hessian, gradient = term.residuals(pose, gate).normal_equations()
            if not _condition(hessian) < _MAX_CONDITION:
                return None
            step = torch.linalg.solve(hessian, -gradient)
            pose = small_motion(step) @ pose
            if float(step.abs().max()) < _SMALL_STEP:
                break
    at = term.residuals(pose)
    hessian, _ = at.belief()
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
