# SPDX-License-Identifier: Apache-2.0
"""The pictures of a recording that correspondences are sought in, read one at a time."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8


@runtime_checkable
class Pictures(Protocol):
    """Undistorted pictures of one size, in the order of time; each is read when it is asked for.

    Who uses them asks for a picture once and holds few of them, so that memory does not grow with
    the recording.
    """

    def __len__(self) -> int:
        """Return how many pictures there are."""
        ...

    def grey(self, index: int) -> UInt8[np.ndarray, 'height width']:
        """Return a picture."""
        ...

    def usable(self, index: int) -> Bool[np.ndarray, 'height width'] | None:
        """Return where a picture shows the world; None means everywhere."""
        ...


def inside_mask(
    usable: Bool[np.ndarray, 'height width'], pixels: np.ndarray
) -> Bool[np.ndarray, ' n']:
    """Return which of (n, 2) pixel positions (x, y) lie in the picture and on usable pixels."""
    height, width = usable.shape
    at = np.rint(pixels).astype(np.intp)
    inside = ((at >= 0) & (at < (width, height))).all(1)
    at = np.clip(at, 0, (width - 1, height - 1))
    return inside & usable[at[:, 1], at[:, 0]]
