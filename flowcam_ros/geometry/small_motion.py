# SPDX-License-Identifier: Apache-2.0
"""Steps of a solver as rigid motions, on torch tensors."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def small_motion(step: Float[Tensor, '*b 6']) -> Float[Tensor, '*b 4 4']:
    """Return the motion of a step (translation, rotation vector): turn, then shift.

    On the left of a pose it moves the target, on the right the source, in their own axes.
    """
    x, y, z = step[..., 3:].unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    # Rodrigues; the added speck keeps the derivative of the angle finite at rest
    half = 0.5 * (step[..., 3:].square().sum(-1) + 1e-30).sqrt()[..., None, None]
    sine = torch.sinc(half * (2.0 / math.pi)) * skew
    motion = step.new_zeros(*step.shape[:-1], 4, 4)
    motion[..., :3, :3] = sine + 0.5 * torch.sinc(half / math.pi) ** 2 * (skew @ skew)
    motion[..., :3, 3] = step[..., :3]
    motion.diagonal(dim1=-2, dim2=-1).add_(1.0)
    return motion


def small_step(motion: Float[Tensor, '*b 4 4']) -> Float[Tensor, '*b 6']:
    """Return the step of a motion that turns by well below 180 degrees."""
    rotation = motion[..., :3, :3]
    skew = 0.5 * (rotation - rotation.mT)
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    sine = axis.norm(dim=-1, keepdim=True)
    cosine = 0.5 * (rotation.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1.0)
    angle = torch.atan2(sine, cosine)
    scale = torch.where(sine > 1e-9, angle / sine.clamp_min(1e-12), torch.ones_like(sine))
    return torch.cat([motion[..., :3, 3], axis * scale], -1)
