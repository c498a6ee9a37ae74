# SPDX-License-Identifier: Apache-2.0
"""Read pictures, depth and masks from PNG and JPEG files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from flowcam_ros.errors import FrameRejected, UsageError
from flowcam_ros.sequences.compressed_messages import decode_file
from flowcam_ros.sequences.pixels import depth_to_metres, to_grey_or_bgr


def read_image(path: Path) -> UInt8[np.ndarray, 'height width *channels']:
    """Read a picture as grey or BGR uint8.

    Raises:
        FrameRejected: the file cannot be read or decoded; the message names it.
    """
    return to_grey_or_bgr(_decode(path))


def read_depth(
    path: Path, units_per_m: float, invalid: Collection[int]
) -> Float[np.ndarray, 'height width']:
    """Read a 16-bit PNG as float32 metres, 0 where unknown.

    Raises:
        FrameRejected: the file cannot be read or decoded, or is not 16-bit grey.
    """
    raw = _decode(path)
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise FrameRejected('encoding', f'{path}: depth must be a 16-bit grey PNG')
    return depth_to_metres(raw, units_per_m, invalid)


def read_mask(path: Path | str) -> Bool[np.ndarray, 'height width']:
    """Read a mask: pixels that are 0 in the file may not be used.

    Raises:
        UsageError: the file cannot be read or decoded.
    """
    try:
        image = to_grey_or_bgr(_decode(Path(path)))
    except FrameRejected as error:
        raise UsageError(f'mask {error}') from error
    return (image if image.ndim == 2 else image.max(axis=2)) > 0


def _decode(path: Path) -> np.ndarray:
    try:
        return decode_file(path.read_bytes())
    except OSError as error:
        raise FrameRejected('file', f'{path}: cannot be read ({error.strerror})') from error
    except FrameRejected as error:
        raise FrameRejected(error.reason, f'{path}: {error}') from error
