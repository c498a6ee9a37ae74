# SPDX-License-Identifier: Apache-2.0
"""From whatever pixels a file or message holds to the two kinds the estimators take.

Pictures become uint8, grey (height, width) or BGR (height, width, 3); depth becomes float32 metres
with 0 where unknown.
"""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.errors import FrameRejected

# Largest picture that is decoded at all, and shortest side that optical flow can work on.
MAX_PIXELS = 2**26
MIN_SIDE = 16


def check_size(width: int, height: int) -> None:
    """Refuse pictures that are too small to track or too large to be true.

    Raises:
        FrameRejected: with reason 'size'.
    """
    if width < MIN_SIDE or height < MIN_SIDE:
        raise FrameRejected(
            'size', f'image of {width}x{height} pixels; each side needs at least {MIN_SIDE}'
        )
    if width * height > MAX_PIXELS:
        raise FrameRejected(
            'size', f'image of {width}x{height} pixels; at most {MAX_PIXELS} pixels are accepted'
        )


def to_grey_or_bgr(image: np.ndarray) -> UInt8[np.ndarray, 'height width *channels']:
    """Return the picture as C-contiguous uint8, grey or BGR; no copy where it is that already.

    16-bit values are scaled by 255/65535 and rounded, as cv_bridge does; a fourth channel (alpha)
    is dropped.

    Raises:
        FrameRejected: the pixels are neither 8 nor 16 bits wide, or have 2 or over 4 channels.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise FrameRejected('encoding', f'pixels of type {image.dtype}; expected 8 or 16 bits')
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise FrameRejected('encoding', f'{channels} channels; expected grey, BGR or BGRA')
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255.0 / 65535.0)
    if channels == 1:
        image = image.reshape(image.shape[:2])
    elif channels == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return np.ascontiguousarray(image)


def depth_to_metres(
    raw: np.ndarray, units_per_m: float = 1.0, invalid: Collection[int] = ()
) -> Float[np.ndarray, 'height width']:
    """Return depth as float32 metres with 0 where it is unknown.

    Unknown are 0, negative values, NaN, infinity and the raw values in ``invalid``.
    """
    depth = np.divide(raw, np.float32(units_per_m), dtype=np.float32)
    if raw.dtype.kind == 'f':
        depth = np.where((depth > 0) & (depth < np.inf), depth, np.float32(0.0))
    for value in invalid:
        if value:
            depth[raw == value] = 0.0
    return depth
