# SPDX-License-Identifier: Apache-2.0
"""Where the tensors live and how many threads work on them."""

from __future__ import annotations

import torch

from flowcam_ros.errors import ConfigError


def use_threads(count: int) -> None:
    """Set torch's thread count for this process.

    The fit works on small tensors: more than one thread gains nothing, and threads that wait for
    each other on a busy machine were measured to make a frame five times slower.
    """
    torch.set_num_threads(count)


def choose_device(name: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: CUDA was asked for by name and is not there.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if name == 'cuda' and not torch.cuda.is_available():
        raise ConfigError("device: 'cuda' was asked for but no CUDA device is there; use 'auto'")
    return torch.device(name)
