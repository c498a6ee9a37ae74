# SPDX-License-Identifier: Apache-2.0
"""The pictures of a recording as matching wants them: grey, undistorted, one at a time."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8


@runtime_checkable
class Pictures(Protocol):
    """Pictures of one size that are read from disk when they are asked for."""

    def __len__(self) -> int:
        """Return how many pictures there are."""
        ...

    def grey(self, index: int) -> UInt8[np.ndarray, 'height width']:
        """Return one picture; all have the same size."""
        ...

    def usable(self, index: int) -> Bool[np.ndarray, 'height width'] | None:
        """Return where a picture shows the world; None means everywhere."""
        ...
