# SPDX-License-Identifier: Apache-2.0
"""The networks of FlowMap: depth and features of pictures, and trust in correspondences.

Both are trained from their start state for each recording. The depth network is small: most of
its work is done at an eighth of the size and below, which makes a step on a CPU some thirty times
cheaper than with the network of the paper's code, and as one recording is all it has to explain,
it needs no more.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

# Pictures must have sides that are multiples of this.
STRIDE = 32
FEATURES = 8
_CHANNELS = (16, 32, 64, 96, 128)
_GROUPS = 8


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    # Normalised by groups of one picture: what comes out must not depend on what else is in the
    # batch, else going through a recording in chunks would change the gradient.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, padding_mode='replicate'),
        nn.GroupNorm(_GROUPS, outputs),
        nn.SiLU(),
    )


class DepthNetwork(nn.Module):
    """A U-Net from a picture to its logarithm of inverse depth and to features.

    It begins with the same inverse depth, 1, everywhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        inputs = 3
        for level, channels in enumerate(_CHANNELS):
            layers = [_convolution(inputs, channels, 2)]
            if level > 0:
                layers.append(_convolution(channels, channels))
            self.down.append(nn.Sequential(*layers))
            inputs = channels
        self.up = nn.ModuleList(
            _convolution(low + high, high)
            for high, low in zip(_CHANNELS[-2::-1], _CHANNELS[:0:-1], strict=True)
        )
        self.depth = nn.Conv2d(_CHANNELS[0], 4, 3, 1, 1, padding_mode='replicate')
        for parameter in self.depth.parameters():
            nn.init.zeros_(parameter)
        self.features = nn.Conv2d(_CHANNELS[0], FEATURES, 1)

    def forward(
        self, pictures: Float[Tensor, 'b 3 h w']
    ) -> tuple[Float[Tensor, 'b h w'], Float[Tensor, 'b c h2 w2']]:
        """Return log inverse depth at full and features at half size.

        Args:
            pictures: red green blue in [-1, 1]; sides are multiples of ``STRIDE``.
        """
        levels = []
        x = pictures
        for down in self.down:
            x = down(x)
            levels.append(x)
        for up, finer in zip(self.up, levels[-2::-1], strict=True):
            x = functional.interpolate(x, size=finer.shape[-2:], mode='bilinear')
            x = up(torch.cat([x, finer], 1))
        # halves would tell depth to one percent only
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            return functional.pixel_shuffle(self.depth(x), 2)[:, 0], self.features(x)


class MatchWeights(nn.Module):
    """Trust in a correspondence, from the features at both ends (FlowMap, section 4.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * FEATURES, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, 2.0)

    def forward(
        self, source: Float[Tensor, '*n c'], target: Float[Tensor, '*n c']
    ) -> Float[Tensor, '*n']:
        """Return weights in (0, 1); all alike at first."""
        return torch.sigmoid(self.layers(torch.cat([source, target], -1))).squeeze(-1)
