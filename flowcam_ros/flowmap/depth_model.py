# SPDX-License-Identifier: Apache-2.0
"""What depth comes from: a network, or free numbers (FlowMap's ablation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from flowcam_ros.flowmap.network import DepthNetwork

# (b, h, w) and (b, h2, w2, c); b has no name as it differs from chunk to chunk
Output = tuple[Float[Tensor, '_ h w'], Float[Tensor, '_ h2 w2 c']]


@runtime_checkable
class DepthModel(Protocol):
    """Depth and features of frames, with parameters that can be trained."""

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained."""
        ...

    def maps(self, frames: slice) -> Output:
        """Return log inverse depth and features (channels last) of some frames."""
        ...

    def __len__(self) -> int:
        """Return the number of frames."""
        ...


class NetworkDepth:
    """Depth by a network from the pictures.

    Args:
        pictures: (f, h, w, 3) red green blue; sides are multiples of 32.
        network: trained along; moved to the device.
        device: where to compute.
    """

    def __init__(
        self,
        pictures: UInt8[Tensor, 'f h w 3'],
        network: DepthNetwork,
        device: torch.device,
    ) -> None:
        self._pictures = pictures
        self._device = device
        # mypy's stubs do not know that a module takes a memory format, too
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __len__(self) -> int:
        return len(self._pictures)

    def parameters(self) -> list[nn.Parameter]:
        """See DepthModel."""
        return list(self.network.parameters())

    def maps(self, frames: slice) -> Output:
        """See DepthModel."""
        pictures = self._pictures[frames].to(self._device).permute(0, 3, 1, 2)
        # permuted from channels last: the convolutions take it as it lies
        log_inverse, features = self.network(pictures.float() / 127.5 - 1.0)
        return log_inverse, features.permute(0, 2, 3, 1)


class ExplicitDepth:
    """A free number for each pixel, and no features.

    Args:
        frames: how many.
        height: of the maps.
        width: of the maps.
        device: where to compute.
    """

    def __init__(self, frames: int, height: int, width: int, device: torch.device) -> None:
        self._depth = nn.Parameter(torch.zeros(frames, height, width, device=device))

    def __len__(self) -> int:
        return len(self._depth)

    def parameters(self) -> list[nn.Parameter]:
        """See DepthModel."""
        return [self._depth]

    def maps(self, frames: slice) -> Output:
        """See DepthModel."""
        depth = self._depth[frames]
        return depth, depth.new_zeros(len(depth), 1, 1, 0)


DEPTH_MODELS: dict[str, Callable[[UInt8[Tensor, 'f h w 3'], torch.device], DepthModel]] = {
    'network': lambda pictures, device: NetworkDepth(pictures, DepthNetwork(), device),
    'explicit': lambda pictures, device: ExplicitDepth(
        pictures.shape[0], pictures.shape[1], pictures.shape[2], device
    ),
}
