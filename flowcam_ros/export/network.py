# SPDX-License-Identifier: Apache-2.0
"""The trained depth network as a file, with which another refinement can begin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from flowcam_ros.errors import OutputError

NETWORK = 'network.safetensors'


def write_network(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of a network as a safetensors file.

    Raises:
        OutputError: it cannot be written.
    """
    data = save({name: tensor.contiguous() for name, tensor in weights.items()})
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f'{path}: cannot be written ({error.strerror})') from error
