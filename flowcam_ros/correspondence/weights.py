# SPDX-License-Identifier: Apache-2.0
"""Weights of networks, from safetensors files that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from flowcam_ros.errors import ConfigError


def read_weights(path: str, option: str, backend: str, advice: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU.

    Args:
        path: of the file.
        option: that gave it, for messages.
        backend: that needs it, for messages.
        advice: where the user reads how to get one.

    Raises:
        ConfigError: there is no such file, or it cannot be read; says what to do.
    """
    if not path:
        raise ConfigError(
            f'{option}: {backend!r} needs the path of a safetensors file with its weights; '
            f'{advice}'
        )
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'{option}: reading them needs the package safetensors; install it with: '
            'pip install safetensors'
        ) from error
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f'{option}: {path} is not there or no file; {advice}')
    try:
        return load_file(file)
    except SafetensorError as error:
        text = ' '.join(str(error).split())
        raise ConfigError(
            f'{option}: {path} is not a safetensors file ({text}); {advice}'
        ) from error
    except OSError as error:
        raise ConfigError(f'{option}: {path} cannot be read ({error.strerror})') from error


def check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], complaint: str) -> None:
    """Raise ConfigError, beginning with the complaint, unless the tensors are those expected."""
    for name, tensor in expected.items():
        if name not in found:
            raise ConfigError(f'{complaint}: tensor {name} is missing')
        if found[name].shape != tensor.shape:
            raise ConfigError(
                f'{complaint}: tensor {name} has the shape {tuple(found[name].shape)}, expected '
                f'{tuple(tensor.shape)}'
            )
        if not torch.isfinite(found[name]).all():
            raise ConfigError(f'{complaint}: tensor {name} holds NaN or infinity')
    unknown = sorted(set(found) - set(expected))
    if unknown:
        raise ConfigError(f'{complaint}: tensor {unknown[0]} is unknown')
