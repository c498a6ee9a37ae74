# SPDX-License-Identifier: Apache-2.0
"""What is told where gradient descent runs away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from flowcam_ros.errors import DivergenceError


@contextmanager
def divergence_told() -> Iterator[None]:
    """Turn the failure of a decomposition, which numbers without bounds cause, into a sentence.

    Raises:
        DivergenceError: it failed.
    """
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise DivergenceError(
            'the optimisation diverged: its depth and poses are no numbers any more. Lower '
            'optimizer.rate and optimizer.start_rate'
        ) from error
