# SPDX-License-Identifier: Apache-2.0
"""What is known of the key frames of a window from those that have left it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.small_motion import small_step


@dataclass(frozen=True)
class WindowPrior:
    """A quadratic cost of the first k key frames' poses, around where it was taken.

    Steps are small motions (translation, rotation vector) in each camera's own axes.

    Attributes:
        hessian: (6 k, 6 k).
        gradient: (6 k,).
        poses: (k, 4, 4) world_from_camera where it was taken.
    """

    hessian: Float[Tensor, 'm m']
    gradient: Float[Tensor, ' m']
    poses: Float[Tensor, 'k 4 4']

    def cost(self, poses: Float[Tensor, 'all 4 4']) -> float:
        """Return the cost at some poses."""
        step = self._step(poses)
        return float(0.5 * step @ self.hessian @ step + self.gradient @ step)

    def add_to(
        self,
        hessian: Float[Tensor, 'all all 6 6'],
        gradient: Float[Tensor, 'all 6'],
        poses: Float[Tensor, 'all 4 4'],
    ) -> None:
        """Add the prior to normal equations in place; ``poses`` is where they are taken."""
        count = len(self.poses)
        pull = self.gradient + self.hessian @ self._step(poses)
        blocks = self.hessian.view(count, 6, count, 6).transpose(1, 2)
        hessian[:count, :count] += blocks
        gradient[:count] += pull.view(count, 6)

    def _step(self, poses: Float[Tensor, 'all 4 4']) -> Float[Tensor, ' m']:
        moved = torch.linalg.solve(self.poses, poses[: len(self.poses)])
        return small_step(moved).reshape(-1)


def prior_of_one(pose: Float[Tensor, '4 4'], information: Float[Tensor, '6 6']) -> WindowPrior:
    """Return the prior of a window of one key frame; information in its own axes."""
    return WindowPrior(information, information.new_zeros(6), pose.unsqueeze(0))


def with_known_length(prior: WindowPrior, pose: Float[Tensor, '4 4'], share: float) -> WindowPrior:
    """Return a prior of one key frame and of the length of the way to a second one at ``pose``.

    Without measured depth that length is what defines the unit; it is held to ``share`` of it.
    """
    way = pose[:3, 3] - prior.poses[0, :3, 3]
    length = way.norm().clamp_min(1e-9)
    along = pose[:3, :3].T @ (way / length)
    hessian = prior.hessian.new_zeros(12, 12)
    hessian[:6, :6] = prior.hessian
    hessian[6:9, 6:9] = torch.outer(along, along) / (share * length) ** 2
    gradient = torch.cat([prior.gradient, prior.gradient.new_zeros(6)])
    return WindowPrior(hessian, gradient, torch.cat([prior.poses, pose.unsqueeze(0)]))


def without_first(
    hessian: Float[Tensor, 'm m'],
    gradient: Float[Tensor, ' m'],
    poses: Float[Tensor, 'k 4 4'],
) -> WindowPrior:
    """Return what a quadratic cost says of all key frames but the first (Schur complement)."""
    first, rest = slice(0, 6), slice(6, None)
    gain = torch.linalg.solve(hessian[first, first], hessian[first, rest]).T
    kept = hessian[rest, rest] - gain @ hessian[first, rest]
    pull = gradient[rest] - gain @ gradient[first]
    return WindowPrior(0.5 * (kept + kept.T), pull, poses[1:])
