# SPDX-License-Identifier: Apache-2.0
"""Between the colours and depths of two encodings."""

from __future__ import annotations

import cv2
import numpy as np
from cv_bridge.encodings import CvBridgeError, Layout, layout_of


def convert(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """Return an image of encoding `source` in encoding `target`; a new array if anything changes.

    Raises:
        CvBridgeError: an encoding is unknown, or there is no conversion between the two.
    """
    source_layout, target_layout = layout_of(source), layout_of(target)
    if source == target:
        return image
    image = _recolour(image, source_layout, target_layout, source, target)
    return _rescale(image, source_layout, target_layout)


def _recolour(
    image: np.ndarray, source: Layout, target: Layout, source_name: str, target_name: str
) -> np.ndarray:
    if target.colours is None:
        if source.channels != target.channels:
            raise CvBridgeError(
                f'[{source_name}] and [{target_name}] do not have the same number of channel'
            )
        return image
    if source.colours is None:
        raise CvBridgeError(
            f'[{source_name}] is not a color format. but [{target_name}] is. '
            'The conversion does not make sense'
        )
    if source.colours == target.colours:
        return image
    code = getattr(cv2, _code_name(source.colours, target.colours), None)
    if code is None:
        raise CvBridgeError(f'Unsupported conversion from [{source_name}] to [{target_name}]')
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), code)
    except cv2.error as error:
        raise CvBridgeError(str(error)) from error


def _code_name(source: str, target: str) -> str:
    if source.startswith('YUV_'):
        return f'COLOR_YUV2{target}_{source.removeprefix("YUV_")}'
    return f'COLOR_{source}2{target}'


def _rescale(image: np.ndarray, source: Layout, target: Layout) -> np.ndarray:
    """Change the type of the values; between 8 and 16 bits white stays white."""
    if source.dtype == target.dtype:
        return image
    sizes = np.dtype(source.dtype).itemsize, np.dtype(target.dtype).itemsize
    factor = {(1, 2): 65535 / 255, (2, 1): 255 / 65535}.get(sizes, 1.0)
    values = image.astype(np.float64) * factor
    if np.dtype(target.dtype).kind in 'iu':
        limits = np.iinfo(target.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(target.dtype)
