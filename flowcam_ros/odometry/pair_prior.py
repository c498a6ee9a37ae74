# SPDX-License-Identifier: Apache-2.0
"""What is known of the pose of one camera in another, apart from their points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.small_motion import small_step


@dataclass(frozen=True)
class PairPrior:
    """A quadratic cost of a pose, or of a batch of them, around where it was taken.

    Steps are small motions (translation, rotation vector) on the left of the pose.

    Attributes:
        pose: (..., 4, 4) target_from_source where it was taken.
        hessian: (..., 6, 6); 0 where nothing is known.
        gradient: (..., 6).
    """

    pose: Float[Tensor, '*b 4 4']
    hessian: Float[Tensor, '*b 6 6']
    gradient: Float[Tensor, '*b 6']

    def slope(self, pose: Float[Tensor, '*b 4 4']) -> Float[Tensor, '*b 6']:
        """Return the gradient at another pose; the Hessian stays the same."""
        return self.gradient + self._stiffness(self._step(pose))

    def cost(self, pose: Float[Tensor, '*b 4 4']) -> Float[Tensor, '*b']:
        """Return the cost at another pose."""
        step = self._step(pose)
        return ((self.gradient + 0.5 * self._stiffness(step)) * step).sum(-1)

    def _step(self, pose: Float[Tensor, '*b 4 4']) -> Float[Tensor, '*b 6']:
        return small_step(torch.linalg.solve(self.pose, pose, left=False))

    def _stiffness(self, step: Float[Tensor, '*b 6']) -> Float[Tensor, '*b 6']:
        return (self.hessian @ step.unsqueeze(-1)).squeeze(-1)


def stacked(priors: list[PairPrior | None], device: torch.device) -> PairPrior:
    """Return one batch of priors; None stands for nothing known."""
    blank = torch.eye(4, dtype=torch.float64, device=device)
    poses = [blank if p is None else p.pose for p in priors]
    none = blank.new_zeros(6, 6)
    hessians = [none if p is None else p.hessian for p in priors]
    gradients = [none[0] if p is None else p.gradient for p in priors]
    return PairPrior(torch.stack(poses), torch.stack(hessians), torch.stack(gradients))
