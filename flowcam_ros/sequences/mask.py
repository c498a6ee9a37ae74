# SPDX-License-Identifier: Apache-2.0
"""The part of every picture that may not be used: the robot's own body, a dirty lens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from flowcam_ros.errors import UsageError
from flowcam_ros.sequences.image_files import read_mask


class Mask:
    """A mask file, or none at all.

    Raises:
        UsageError: the file cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._usable = None if path is None else read_mask(path)

    def for_size(self, width: int, height: int) -> Bool[np.ndarray, 'height width'] | None:
        """Return the usable pixels of a picture of this size; None when all are.

        Raises:
            UsageError: the mask has another size.
        """
        if self._usable is not None and self._usable.shape != (height, width):
            raise UsageError(
                f'mask {self._path} has {self._usable.shape[1]}x{self._usable.shape[0]} pixels, '
                f'the picture {width}x{height}; both must be the same'
            )
        return self._usable
