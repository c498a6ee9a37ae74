# SPDX-License-Identifier: Apache-2.0
"""The encodings of sensor_msgs/Image that are understood, and how."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a pixel are laid out.

    Attributes:
        type: numpy type of a value in the machine's byte order.
        channels: values of a pixel.
        conversion: OpenCV's colour conversion to grey or BGR; None if there is nothing to do.
        even_width: whether two neighbouring pixels share their colour.
    """

    type: str
    channels: int
    conversion: int | None = None
    even_width: bool = False

    @property
    def bytes_per_pixel(self) -> int:
        """Size of a pixel in the message."""
        return np.dtype(self.type).itemsize * self.channels


# 8UC3 carries no order of colours; it is taken as BGR, OpenCV's order.
IMAGE_ENCODINGS: dict[str, Encoding] = {
    'mono8': Encoding('u1', 1),
    '8UC1': Encoding('u1', 1),
    'mono16': Encoding('u2', 1),
    'bgr8': Encoding('u1', 3),
    '8UC3': Encoding('u1', 3),
    'rgb8': Encoding('u1', 3, cv2.COLOR_RGB2BGR),
    'bgra8': Encoding('u1', 4, cv2.COLOR_BGRA2BGR),
    'rgba8': Encoding('u1', 4, cv2.COLOR_RGBA2BGR),
    'bgr16': Encoding('u2', 3),
    'rgb16': Encoding('u2', 3, cv2.COLOR_RGB2BGR),
    # OpenCV names Bayer patterns by the second row, ROS by the first.
    'bayer_rggb8': Encoding('u1', 1, cv2.COLOR_BayerBG2BGR),
    'bayer_bggr8': Encoding('u1', 1, cv2.COLOR_BayerRG2BGR),
    'bayer_gbrg8': Encoding('u1', 1, cv2.COLOR_BayerGR2BGR),
    'bayer_grbg8': Encoding('u1', 1, cv2.COLOR_BayerGB2BGR),
    'yuv422': Encoding('u1', 2, cv2.COLOR_YUV2BGR_UYVY, even_width=True),
    'uyvy': Encoding('u1', 2, cv2.COLOR_YUV2BGR_UYVY, even_width=True),
    'yuv422_yuy2': Encoding('u1', 2, cv2.COLOR_YUV2BGR_YUY2, even_width=True),
    'yuyv': Encoding('u1', 2, cv2.COLOR_YUV2BGR_YUY2, even_width=True),
}

# 16-bit depth is in millimetres, float depth in metres (REP-118).
DEPTH_ENCODINGS: dict[str, Encoding] = {
    '16UC1': Encoding('u2', 1),
    'mono16': Encoding('u2', 1),
    '32FC1': Encoding('f4', 1),
}
