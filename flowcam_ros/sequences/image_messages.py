# SPDX-License-Identifier: Apache-2.0
"""Check and decode sensor_msgs images without ROS.

The functions take anything that has the fields of the message (rclpy's, rosbags' or a plain
object), allocate nothing before every claim of the message is checked against its data, and answer
malformed input with FrameRejected, never with another exception.
"""

from __future__ import annotations

import operator
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.errors import FrameRejected
from flowcam_ros.sequences.camera_messages import camera_from_info
from flowcam_ros.sequences.compressed_messages import (
    decode_compressed,
    decode_compressed_depth,
)
from flowcam_ros.sequences.encodings import DEPTH_ENCODINGS, IMAGE_ENCODINGS, Encoding
from flowcam_ros.sequences.pixels import check_size, depth_to_metres, to_grey_or_bgr

__all__ = [
    'DEPTH_ENCODINGS',
    'IMAGE_ENCODINGS',
    'Encoding',
    'camera_from_info',
    'check_depth',
    'check_image',
    'decode_compressed',
    'decode_compressed_depth',
    'decode_depth',
    'decode_image',
]


def check_image(msg: Any) -> Encoding:
    """Check a sensor_msgs/Image that shall be a picture; cheap, allocates nothing.

    Raises:
        FrameRejected: with reason 'message' (a field is missing or of a wrong type), 'encoding',
            'size', 'step' or 'data'.
    """
    return _check(msg, IMAGE_ENCODINGS)


def check_depth(msg: Any) -> Encoding:
    """Check a sensor_msgs/Image that shall be a depth image; as :func:`check_image`."""
    return _check(msg, DEPTH_ENCODINGS)


def decode_image(msg: Any) -> UInt8[np.ndarray, 'height width *channels']:
    """Return the picture of a sensor_msgs/Image as grey or BGR uint8.

    mono8 and bgr8 without padding are a view of the message's data, not a copy.

    Raises:
        FrameRejected: as :func:`check_image`.
    """
    encoding = check_image(msg)
    pixels = _pixels(msg, encoding)
    if encoding.conversion is not None:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), encoding.conversion)
    return to_grey_or_bgr(pixels)


def decode_depth(msg: Any) -> Float[np.ndarray, 'height width']:
    """Return the depth of a sensor_msgs/Image in metres, float32, 0 where unknown.

    Raises:
        FrameRejected: as :func:`check_depth`.
    """
    encoding = check_depth(msg)
    units_per_m = 1000.0 if encoding.type == 'u2' else 1.0
    return depth_to_metres(_pixels(msg, encoding), units_per_m)


def _check(msg: Any, accepted: dict[str, Encoding]) -> Encoding:
    try:
        width, height = operator.index(msg.width), operator.index(msg.height)
        step, name, size = operator.index(msg.step), msg.encoding, len(msg.data)
        operator.index(msg.is_bigendian)
    except (AttributeError, TypeError) as error:
        raise FrameRejected('message', f'not a sensor_msgs/Image ({error})') from error
    encoding = accepted.get(name) if isinstance(name, str) else None
    if encoding is None:
        raise FrameRejected(
            'encoding', f'encoding {name!r} is not supported; accepted: {", ".join(accepted)}'
        )
    check_size(width, height)
    if encoding.even_width and width % 2:
        raise FrameRejected('size', f'{name} needs an even width, got {width}')
    if step < width * encoding.bytes_per_pixel:
        raise FrameRejected(
            'step',
            f'step of {step} bytes is too short for {width} pixels of {name} '
            f'({width * encoding.bytes_per_pixel} bytes)',
        )
    if size != step * height:
        raise FrameRejected(
            'data', f'{size} bytes of data; step times height says {step * height}'
        )
    return encoding


def _pixels(msg: Any, encoding: Encoding) -> np.ndarray:
    """Return a (height, width[, channels]) view of checked data, in the machine's byte order."""
    try:
        data = np.frombuffer(msg.data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise FrameRejected('data', f'the data are not bytes ({error})') from error
    if data.size != msg.step * msg.height:
        raise FrameRejected('data', 'the data are not bytes')
    order = '>' if msg.is_bigendian else '<'
    kind = np.dtype(order + encoding.type)
    shape = (int(msg.height), int(msg.width), encoding.channels)
    strides = (int(msg.step), encoding.bytes_per_pixel, kind.itemsize)
    pixels: np.ndarray = np.ndarray(shape, kind, data, strides=strides)
    if encoding.channels == 1:
        pixels = pixels[:, :, 0]
    return pixels.astype(kind.newbyteorder('='), copy=False)
