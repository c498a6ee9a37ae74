# SPDX-License-Identifier: Apache-2.0
"""What depth comes from: a network, or free numbers (FlowMap's ablation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from flowcam_ros.correspondence.weights import check_fit, read_weights
from flowcam_ros.flowmap.network import DepthNetwork
from flowcam_ros.flowmap.refine_config import ModelConfig

_ADVICE = 'flowcam refine writes one with --set export.network=true'

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


@runtime_checkable
class SceneDepth(DepthModel, Protocol):
    """A depth model that an optimisation can begin with and end in."""

    def weights(self) -> dict[str, Tensor] | None:
        """Return the weights of the network by name, on the CPU; None without a network."""
        ...

    def invert(self) -> None:
        """Turn all depth inside out: near for far."""
        ...


class NetworkDepth:
    """Depth by a network from the pictures.

    Args:
        pictures: (f, h, w, 3) red green blue; sides are multiples of 32.
        network: trained along; moved to the device.
        device: where to compute.
        precision: of the network's inner layers, float32 or bfloat16.
        compiled: whether torch compiles the network first, which takes about a minute.
    """

    def __init__(
        self,
        pictures: UInt8[Tensor, 'f h w 3'],
        network: DepthNetwork,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        self._pictures = pictures
        self._device = device
        self._precision = precision
        # mypy's stubs do not know that a module takes a memory format, too
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run = torch.compile(self.network) if compiled else self.network

    def __len__(self) -> int:
        return len(self._pictures)

    def parameters(self) -> list[nn.Parameter]:
        """See DepthModel."""
        return list(self.network.parameters())

    def maps(self, frames: slice) -> Output:
        """See DepthModel."""
        pictures = self._pictures[frames].to(self._device).permute(0, 3, 1, 2)
        # permuted from channels last: the convolutions take it as it lies
        with torch.autocast(
            self._device.type, self._precision, enabled=self._precision is not torch.float32
        ):
            log_inverse, features = self._run(pictures.float() / 127.5 - 1.0)
        return log_inverse, features.permute(0, 2, 3, 1)

    def weights(self) -> dict[str, Tensor]:
        """See SceneDepth."""
        return {name: part.detach().cpu() for name, part in self.network.state_dict().items()}

    @torch.no_grad()
    def invert(self) -> None:
        """See SceneDepth."""
        for parameter in self.network.depth.parameters():
            parameter.neg_()


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

    def weights(self) -> None:
        """See SceneDepth."""
        return None

    @torch.no_grad()
    def invert(self) -> None:
        """See SceneDepth."""
        self._depth.neg_()


def make_network_depth(
    config: ModelConfig, pictures: UInt8[Tensor, 'f h w 3'], device: torch.device
) -> NetworkDepth:
    """Return depth by a network, from its start state or from the user's file.

    Raises:
        ConfigError: the file is not of this network.
    """
    network = start_network(config)
    return NetworkDepth(pictures, network, device, precision_on(config, device), config.compile)


def start_network(config: ModelConfig) -> DepthNetwork:
    """Return the network as it is at the start.

    Raises:
        ConfigError: ``start_weights`` is not of this network.
    """
    network = DepthNetwork()
    path = config.start_weights
    if path:
        weights = read_weights(path, 'model.start_weights', 'network', _ADVICE)
        check_fit(network.state_dict(), weights, f'model.start_weights: {path} does not fit')
        network.load_state_dict(weights)
    return network


def precision_on(config: ModelConfig, device: torch.device) -> torch.dtype:
    """Return what the network's inner layers compute with."""
    if config.precision != 'auto':
        return {'float32': torch.float32, 'bfloat16': torch.bfloat16}[config.precision]
    fast = device.type == 'cuda' and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def make_explicit_depth(
    _config: ModelConfig, pictures: UInt8[Tensor, 'f h w 3'], device: torch.device
) -> ExplicitDepth:
    """Return free depth for all pixels of the pictures."""
    return ExplicitDepth(pictures.shape[0], pictures.shape[1], pictures.shape[2], device)


DEPTH_MODELS: dict[
    str, Callable[[ModelConfig, UInt8[Tensor, 'f h w 3'], torch.device], SceneDepth]
] = {'network': make_network_depth, 'explicit': make_explicit_depth}
