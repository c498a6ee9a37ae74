# SPDX-License-Identifier: Apache-2.0
"""Exact back-propagation through a depth model a few frames at a time.

The loss needs the depth of all frames at once, the network does not: it is run without gradients,
the loss is differentiated down to the maps, and each chunk is then run again to take the gradient
of its maps to the parameters. The gradient is the same; activations of one chunk are all that is
ever held. A recording of one chunk is run once only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowcam_ros.flowmap.depth_model import DepthModel, Output
from flowcam_ros.flowmap.maps import Maps


class ChunkedMaps:
    """The maps of all frames as leaves of a graph, and the way from them to the parameters.

    Args:
        model: whose maps.
        chunk: most frames whose activations are held.
        size: width and height of the tracking pictures.
    """

    def __init__(self, model: DepthModel, chunk: int, size: tuple[int, int]) -> None:
        self._model = model
        self._chunks = [slice(i, min(i + chunk, len(model))) for i in range(0, len(model), chunk)]
        self._held: Output | None = None
        if len(self._chunks) == 1:
            self._held = model.maps(self._chunks[0])
            depth, features = (part.detach() for part in self._held)
        else:
            depth, features = all_maps(model, self._chunks)
        self.maps = Maps(depth.requires_grad_(), features.requires_grad_(), *size)

    def backward(self) -> None:
        """Carry the gradients that a loss left at the maps on to the parameters."""
        for chunk in self._chunks:
            output = self._model.maps(chunk) if self._held is None else self._held
            leaves = (self.maps.log_inverse, self.maps.features)
            carried = [
                (part, leaf.grad[chunk])
                for part, leaf in zip(output, leaves, strict=True)
                if leaf.grad is not None and part.requires_grad
            ]
            torch.autograd.backward(*map(list, zip(*carried, strict=True)))


@torch.no_grad()
def all_maps(model: DepthModel, chunks: list[slice]) -> tuple[Tensor, Tensor]:
    """Return the maps of all frames, without gradients."""
    parts = [model.maps(chunk) for chunk in chunks]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
