# SPDX-License-Identifier: Apache-2.0
"""RAFT (Teed and Deng 2020) from torchvision, with the user's weights.

Slower than DIS by orders of magnitude without a GPU. torchvision's RAFT cannot start from a given
flow, so ``start`` is not used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Float, UInt8
from torch import Tensor

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.consistency import round_trip_confidence
from flowcam_ros.correspondence.weights import check_fit, read_weights
from flowcam_ros.errors import ConfigError, FlowcamError

# RAFT's features are an eighth as large, and its pyramid wants at least 16 of them.
_STRIDE = 8
_MIN_SIZE = 128
# The first layer tells the two published models apart by the number of its channels.
_FIRST_LAYER = 'feature_encoder.convnormrelu.0.weight'
_MODELS = {32: 'raft_small', 64: 'raft_large'}
_CONVERT = "docs/backends.md says how to make such a file from torchvision's weights"


class RaftFlow:
    """torchvision's raft_small or raft_large, whichever the weights are for.

    Raises:
        ConfigError: torchvision is missing or does not fit torch, there are no weights, or their
            tensors do not fit.
    """

    def __init__(self, config: FlowConfig, device: torch.device) -> None:
        models = _torchvision_models()
        weights = read_weights(config.weights, 'flow.weights', 'raft', _CONVERT)
        self._model = _with_weights(models, weights, config.weights).to(device).eval()
        self._device = device
        self._updates = config.updates
        self._max_inconsistency = config.max_inconsistency

    def displacement(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        start: Float[np.ndarray, 'height width 2'] | None = None,
    ) -> Float[np.ndarray, 'height width 2']:
        """See FlowEstimator; ``start`` is not used.

        Raises:
            FlowcamError: the GPU has not enough memory.
        """
        height, width = source.shape
        left, right = _margins(width)
        top, bottom = _margins(height)
        margins = (left, right, top, bottom)
        try:
            with torch.inference_mode():
                pair = (self._input(source, margins), self._input(target, margins))
                flow = self._model(*pair, num_flow_updates=self._updates)[-1][0]
                inner = flow[:, top : top + height, left : left + width]
                return np.ascontiguousarray(inner.permute(1, 2, 0).cpu().numpy())
        except torch.cuda.OutOfMemoryError as error:
            raise FlowcamError(
                f'RAFT: the GPU has not enough memory for {width}x{height} pixels; lower '
                'max_image_pixels, or use raft_small'
            ) from error

    def confidence(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        displacement: Float[np.ndarray, 'height width 2'],
    ) -> Float[np.ndarray, 'height width']:
        """See FlowEstimator; falls from 1 to 0 as the way there and back fails to close."""
        return round_trip_confidence(
            self.displacement, source, target, displacement, self._max_inconsistency
        )

    def _input(
        self, grey: UInt8[np.ndarray, 'height width'], margins: tuple[int, int, int, int]
    ) -> Float[Tensor, '1 3 padded_height padded_width']:
        """Return the picture as RAFT was trained on: three channels from -1 to 1."""
        values = torch.from_numpy(grey).to(self._device, torch.float32)[None, None]
        values = values / 127.5 - 1.0
        return functional.pad(values, margins, mode='replicate').expand(-1, 3, -1, -1)


def _margins(size: int) -> tuple[int, int]:
    """Return what to add before and after, so that RAFT takes the size."""
    padded = max(_MIN_SIZE, -(-size // _STRIDE) * _STRIDE)
    before = (padded - size) // 2
    return before, padded - size - before


def _torchvision_models() -> Any:
    try:
        from torchvision.models import optical_flow
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"flow.backend: 'raft' needs the package {error.name}; install it with: "
            "pip install 'flowcam_ros[raft]' (docs/backends.md)"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        # Its compiled part is made for one build of torch: for CUDA or not, and for one version.
        raise ConfigError(
            f"flow.backend: 'raft' cannot load torchvision with torch {torch.__version__} "
            f'({" ".join(str(error).split())}); install the torchvision made for this torch '
            '(docs/backends.md)'
        ) from error
    return optical_flow


def _with_weights(models: Any, weights: dict[str, Tensor], path: str) -> torch.nn.Module:
    """Return the model that the weights are for, with them in it."""
    first = weights.get(_FIRST_LAYER)
    if first is None:
        raise ConfigError(f'flow.weights: {path} has no tensor {_FIRST_LAYER}: not of RAFT')
    name = _MODELS.get(len(first))
    if name is None:
        raise ConfigError(
            f'flow.weights: {_FIRST_LAYER} in {path} has {len(first)} channels; raft_small has '
            '32 and raft_large 64'
        )
    model: torch.nn.Module = getattr(models, name)(weights=None)
    check_fit(model.state_dict(), weights, f'flow.weights: {path} is not of {name}')
    model.load_state_dict(weights)
    return model
