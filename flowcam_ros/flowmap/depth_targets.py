# SPDX-License-Identifier: Apache-2.0
"""Depth known before the optimisation, to which the depth model is fitted first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.two_view import TwoViews

# Depth within this share of what is known is right; wrong matches pull no harder than at twice it.
_SIGMA = 0.05


@dataclass(frozen=True)
class DepthTargets:
    """Points of known depth in g groups of n; each group may have a scale of its own.

    Attributes:
        frame: (g, n).
        pixel: (g, n, 2) of the tracking pictures.
        log_inverse: (g, n) logarithm of the inverse depth.
        sigma: (g, n) its standard deviation.
        free_scale: whether each group's depth is known up to a factor only.
    """

    frame: Int64[Tensor, 'g n']
    pixel: Float[Tensor, 'g n 2']
    log_inverse: Float[Tensor, 'g n']
    sigma: Float[Tensor, 'g n']
    free_scale: bool

    def loss(self, maps: Maps) -> Tensor:
        """Return how far a depth model is from these, robustly; 1 is about one sigma."""
        error = maps.inverse_depth(self.frame, self.pixel).log() - self.log_inverse
        if self.free_scale:
            error = error - error.detach().median(-1, keepdim=True).values
        scaled = error / (self.sigma + _SIGMA)
        return ((1.0 + scaled.square()).sqrt() - 1.0).mean()


@runtime_checkable
class Drawn(Protocol):
    """Some of what is known of depth."""

    def loss(self, maps: Maps) -> Tensor:
        """Return how far a depth model is from it."""
        ...


@runtime_checkable
class Targets(Protocol):
    """What is known of depth before the optimisation."""

    def draw(self, count: int, random: np.random.Generator) -> Drawn:
        """Return a sample of it; ``count`` says how large."""
        ...


class TwoViewTargets:
    """Draws targets from pairs of pictures, each a group, both ends with one scale.

    Args:
        views: pairs with depth.
        device: where the targets shall be.
        free_scale: whether each pair's depth is known up to a factor of its own.
    """

    def __init__(
        self, views: Sequence[TwoViews], device: torch.device, free_scale: bool = True
    ) -> None:
        self._views = views
        self._device = device
        self._free_scale = free_scale

    def draw(self, count: int, random: np.random.Generator) -> DepthTargets:
        """Return ``count`` points of each end of each pair; the same may come twice."""
        frame, pixel, depth, sigma = [], [], [], []
        for view in self._views:
            index = random.integers(0, len(view.source), count)
            frame.append(np.repeat([view.first, view.second], count))
            pixel.append(np.concatenate([view.source[index], view.target[index]]))
            depth.append(view.log_inverse[index].T.reshape(-1))
            sigma.append(np.tile(view.log_sigma[index], 2))
        return DepthTargets(
            torch.from_numpy(np.stack(frame)).to(self._device),
            torch.from_numpy(np.stack(pixel)).float().to(self._device),
            torch.from_numpy(np.stack(depth)).float().to(self._device),
            torch.from_numpy(np.stack(sigma)).float().to(self._device),
            free_scale=self._free_scale,
        )
