# SPDX-License-Identifier: Apache-2.0
"""The names of sensor_msgs/Image encodings: layout and meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass

DTYPES = {
    '8U': 'uint8',
    '8S': 'int8',
    '16U': 'uint16',
    '16S': 'int16',
    '32S': 'int32',
    '32F': 'float32',
    '64F': 'float64',
}
CV_NAMES = {dtype: name for name, dtype in DTYPES.items()}

# The order of a pixel's values in the names that OpenCV's conversion codes are made of.
COLOURS = {
    'mono8': 'GRAY',
    'mono16': 'GRAY',
    'bgr8': 'BGR',
    'bgr16': 'BGR',
    'rgb8': 'RGB',
    'rgb16': 'RGB',
    'bgra8': 'BGRA',
    'bgra16': 'BGRA',
    'rgba8': 'RGBA',
    'rgba16': 'RGBA',
    # OpenCV names Bayer patterns by the second row, ROS by the first.
    'bayer_rggb8': 'BayerBG',
    'bayer_rggb16': 'BayerBG',
    'bayer_bggr8': 'BayerRG',
    'bayer_bggr16': 'BayerRG',
    'bayer_gbrg8': 'BayerGR',
    'bayer_gbrg16': 'BayerGR',
    'bayer_grbg8': 'BayerGB',
    'bayer_grbg16': 'BayerGB',
    'yuv422': 'YUV_UYVY',
    'uyvy': 'YUV_UYVY',
    'yuv422_yuy2': 'YUV_YUYV',
    'yuyv': 'YUV_YUYV',
}
CHANNELS = {'GRAY': 1, 'BGR': 3, 'RGB': 3, 'BGRA': 4, 'RGBA': 4}


class CvBridgeError(TypeError):
    """An image cannot be converted."""


@dataclass(frozen=True)
class Layout:
    """Type and number of a pixel's values; their colours, None for plain numbers."""

    dtype: str
    channels: int
    colours: str | None


def layout_of(encoding: str) -> Layout:
    """Return how an encoding is laid out.

    Raises:
        CvBridgeError: there is no such encoding.
    """
    colours = COLOURS.get(encoding)
    if colours is not None:
        dtype = 'uint16' if encoding.endswith('16') else 'uint8'
        channels = 2 if colours.startswith('YUV') else CHANNELS.get(colours, 1)
        return Layout(dtype, channels, colours)
    match = re.fullmatch(r'(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?', encoding)
    if match is None or not 1 <= int(match[2] or 1) <= 512:
        raise CvBridgeError(f'Unrecognized image encoding [{encoding}]')
    return Layout(DTYPES[match[1]], int(match[2] or 1), None)
