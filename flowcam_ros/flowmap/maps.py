# SPDX-License-Identifier: Apache-2.0
"""Depth and features of all frames, and their values at any position."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Maps:
    """What a depth model says about f frames.

    Attributes:
        log_inverse: (f, h, w) logarithm of the inverse depth.
        features: (f, h2, w2, c) what trust in correspondences is taken from; c may be 0.
        width: of the tracking pictures, to which positions belong.
        height: of the tracking pictures.
    """

    log_inverse: Float[Tensor, 'f h w']
    features: Float[Tensor, 'f h2 w2 c']
    width: int
    height: int

    def inverse_depth(
        self, frame: Int64[Tensor, '*n'], pixel: Float[Tensor, '*n 2']
    ) -> Float[Tensor, '*n']:
        """Return the inverse depth at pixels of the tracking pictures."""
        return bilinear(self.log_inverse.unsqueeze(-1), frame, self._unit(pixel))[..., 0].exp()

    def feature(
        self, frame: Int64[Tensor, '*n'], pixel: Float[Tensor, '*n 2']
    ) -> Float[Tensor, '*n c']:
        """Return the features at pixels of the tracking pictures."""
        return bilinear(self.features, frame, self._unit(pixel))

    def _unit(self, pixel: Float[Tensor, '*n 2']) -> Float[Tensor, '*n 2']:
        return (pixel + 0.5) / pixel.new_tensor([self.width, self.height])


def bilinear(
    maps: Float[Tensor, 'f h w c'], frame: Int64[Tensor, '*n'], position: Float[Tensor, '*n 2']
) -> Float[Tensor, '*n c']:
    """Return values between the pixels of maps; beyond the rim they are those of the rim.

    Args:
        maps: (f, h, w, c).
        frame: which map.
        position: x and y from 0 to 1, edge to edge.
    """
    _, height, width, channels = maps.shape
    size = position.new_tensor([width, height])
    at = (position * size - 0.5).clamp(min=0.0)
    at = torch.minimum(at, size - 1.0)
    corner = torch.minimum(at.floor(), (size - 2.0).clamp_min(0.0))
    share = at - corner
    x, y = corner.long().unbind(-1)
    flat = maps.reshape(-1, channels)
    base = (frame * height + y) * width + x
    right = 1 if width > 1 else 0
    below = width if height > 1 else 0
    sx, sy = share.unsqueeze(-2).unbind(-1)
    above = torch.lerp(flat[base], flat[base + right], sx)
    under = torch.lerp(flat[base + below], flat[base + below + right], sx)
    return torch.lerp(above, under, sy)
