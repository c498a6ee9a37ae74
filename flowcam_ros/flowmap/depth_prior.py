# SPDX-License-Identifier: Apache-2.0
"""The shape of depth as another network sees it, a Hugging Face model in a folder of the user's.

Such networks tell inverse depth up to a scale and a shift of each picture. Only that shape is
taken from them; the scale comes from what corresponds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from safetensors import SafetensorError
from torch import Tensor

from flowcam_ros.errors import ConfigError
from flowcam_ros.flowmap.maps import Maps

_OPTION = 'model.depth_prior'
_SETTINGS = 'preprocessor_config.json'
_ADVICE = 'docs/backends.md says which folders it takes'
# A shape is told by more pixels than a scale.
_PIXELS_PER_COUNT = 8
# Of the mean; a scene with less relief is not stretched to the relief of others.
_LEAST_SPREAD = 0.02
# What loading a folder with wrong content can end in.
_UNUSABLE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    RuntimeError,
    ImportError,
    SafetensorError,
)
# These tell depth; what tells its kind says so itself, and all others tell inverse depth.
_TELL_DEPTH = ('zoedepth', 'glpn', 'depth_pro')


@dataclass(frozen=True)
class _Input:
    """How the network wants its pictures.

    Attributes:
        mean: of red, green and blue from 0 to 1.
        std: their standard deviations.
        width: of the pictures it was trained on.
        height: of those.
        multiple: of what sides must be.
        keeps_shape: whether pictures keep their shape or are squeezed into that size.
    """

    mean: Float32[np.ndarray, ' 3']
    std: Float32[np.ndarray, ' 3']
    width: int
    height: int
    multiple: int
    keeps_shape: bool

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """Return the size to which a picture is brought."""
        if not self.keeps_shape:
            return self.width, self.height
        scale = max(self.width / width, self.height / height)
        sides = (round(side * scale / self.multiple) for side in (width, height))
        wide, high = (max(1, side) * self.multiple for side in sides)
        return wide, high


class DepthPrior:
    """A depth model of transformers, from a folder.

    Args:
        folder: with config.json, preprocessor_config.json and weights as safetensors.
        device: where to compute.

    Raises:
        ConfigError: transformers is missing, or the folder does not hold such a model; says what
            to do. Nothing is fetched from a network.
    """

    def __init__(self, folder: str, device: torch.device) -> None:
        self._folder = folder
        path = Path(folder).expanduser()
        self._input = _read_input(path, folder)
        self._model = _load(path, folder).to(device).eval()
        self._device = device
        self._is_depth = _tells_depth(self._model.config)

    def inverse_depth(
        self, color: UInt8[np.ndarray, 'height width 3']
    ) -> Float32[np.ndarray, 'h2 w2']:
        """Return inverse depth up to scale and shift, at the size the network gives.

        Raises:
            ConfigError: the network does not take such pictures, or answers no numbers.
        """
        size = self._input.size_for(color.shape[1], color.shape[0])
        resized = cv2.resize(color, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        values = torch.from_numpy((resized / 255.0 - self._input.mean) / self._input.std)
        try:
            with torch.inference_mode():
                answer = self._model(pixel_values=values.permute(2, 0, 1)[None].to(self._device))
                found = answer.predicted_depth[0].float().cpu().numpy()
        except (RuntimeError, ValueError, TypeError) as error:
            text = ' '.join(str(error).split())
            raise ConfigError(
                f'{_OPTION}: the model in {self._folder} does not take a picture of '
                f'{size[0]}x{size[1]} pixels ({text})'
            ) from error
        if not np.isfinite(found).all():
            raise ConfigError(f'{_OPTION}: the model in {self._folder} answers NaN or infinity')
        return 1.0 / np.maximum(found, 1e-3) if self._is_depth else found


@dataclass(frozen=True)
class ShapeTargets:
    """Inverse depth of f frames up to scale and shift of each: what depth is fitted to.

    Attributes:
        shape: (f, h, w) inverse depth, its mean and standard deviation arbitrary.
        usable: (f, h, w) where it counts.
    """

    shape: Float[Tensor, 'f h w']
    usable: Bool[Tensor, 'f h w']

    def draw(self, count: int, random: np.random.Generator) -> DrawnShape:
        """Return the values at eight times ``count`` pixels, the same of each frame, or at all."""
        pixels = self.shape[0].numel()
        index = torch.from_numpy(random.permutation(pixels)[: _PIXELS_PER_COUNT * count]).to(
            self.shape.device
        )
        return DrawnShape(
            index, self.shape.flatten(1)[:, index].float(), self.usable.flatten(1)[:, index]
        )


@dataclass(frozen=True)
class DrawnShape:
    """Inverse depth at n pixels of f frames up to scale and shift of each.

    Attributes:
        index: pixels of the maps, row by row.
        values: (f, n).
        usable: (f, n) whether each counts.
    """

    index: Tensor
    values: Float[Tensor, 'f n']
    usable: Bool[Tensor, 'f n']

    def loss(self, maps: Maps) -> Tensor:
        """Return how far a depth model is from the shape, robustly, in standard deviations."""
        inverse = maps.log_inverse.flatten(1)[:, self.index].exp()
        weight = self.usable.to(inverse)
        error = _standard(inverse, weight) - _standard(self.values, weight)
        cost = (1.0 + error.square()).sqrt() - 1.0
        return (cost * weight).sum() / weight.sum().clamp_min(1.0)


def _standard(values: Float[Tensor, 'f n'], weight: Float[Tensor, 'f n']) -> Float[Tensor, 'f n']:
    """Return values less their mean, over their standard deviation."""
    total = weight.sum(-1, keepdim=True).clamp_min(1.0)
    mean = (values * weight).sum(-1, keepdim=True) / total
    centred = values - mean
    spread = ((centred.square() * weight).sum(-1, keepdim=True) / total + 1e-12).sqrt()
    # from flat depth, whose deviation is 0, the gradient must stay finite
    return centred / (spread + _LEAST_SPREAD * mean.detach().abs())


def _read_input(path: Path, folder: str) -> _Input:
    if not path.is_dir():
        raise ConfigError(f'{_OPTION}: {folder} is not there or no folder; {_ADVICE}')
    try:
        values = json.loads((path / _SETTINGS).read_text(encoding='utf-8'))
        return _input_of(values)
    except OSError as error:
        raise ConfigError(
            f'{_OPTION}: {folder} has no readable {_SETTINGS} ({error.strerror}); {_ADVICE}'
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f'{_OPTION}: {_SETTINGS} in {folder} does not say how pictures are prepared '
            f'({" ".join(str(error).split())}); {_ADVICE}'
        ) from error


def _input_of(values: Mapping[str, Any]) -> _Input:
    normal = values.get('do_normalize', True)
    mean = np.array(values['image_mean'] if normal else [0.0] * 3, np.float32).reshape(3)
    std = np.array(values['image_std'] if normal else [1.0] * 3, np.float32).reshape(3)
    size = values['size']
    height, width = (int(size.get(k, size.get('shortest_edge', 0))) for k in ('height', 'width'))
    multiple = int(values.get('ensure_multiple_of') or 1)
    if min(height, width, multiple) < 1 or (std <= 0).any():
        raise ValueError('a size or a deviation is not positive')
    keeps = bool(values.get('keep_aspect_ratio', 'shortest_edge' in size))
    return _Input(mean, std, width, height, multiple, keeps)


def _load(path: Path, folder: str) -> Any:
    try:
        from transformers import AutoModelForDepthEstimation
    except ImportError as error:
        raise ConfigError(
            f'{_OPTION}: needs the package transformers; install it with: pip install '
            "'flowcam_ros[prior]' (docs/backends.md)"
        ) from error
    try:
        return AutoModelForDepthEstimation.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except _UNUSABLE as error:
        text = ' '.join(str(error).split())
        raise ConfigError(
            f'{_OPTION}: {folder} holds no depth model of transformers with safetensors weights '
            f'({text[:200]}); {_ADVICE}'
        ) from error


def _tells_depth(config: Any) -> bool:
    kind = getattr(config, 'depth_estimation_type', None)
    return kind == 'metric' if kind is not None else config.model_type in _TELL_DEPTH
