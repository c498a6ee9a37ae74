# SPDX-License-Identifier: Apache-2.0
"""The RVL depth codec of compressed_depth_image_transport (Wilson, ISS 2017).

Runs of zeros and of values alternate; run lengths and zig-zag deltas of the values are numbers of
three-bit groups in nibbles, eight nibbles to a little-endian word, highest first.
"""

from __future__ import annotations

import struct

import numpy as np
from jaxtyping import Int64, UInt16

from flowcam_ros.errors import FrameRejected
from flowcam_ros.sequences.pixels import check_size

_SIZE = struct.Struct('<ii')


def decode_rvl(data: bytes | memoryview) -> UInt16[np.ndarray, 'height width']:
    """Decode an image that follows its width and height as two int32.

    Raises:
        FrameRejected: with reason 'size' or 'data'.
    """
    if len(data) < _SIZE.size:
        raise FrameRejected('data', 'RVL data without a size')
    width, height = _SIZE.unpack_from(data)
    check_size(width, height)
    count = width * height
    if len(data) > 4 * count + 64:
        raise FrameRejected('data', f'{len(data)} bytes are too many for {count} pixels of RVL')
    numbers = _numbers(data[_SIZE.size :])
    values = np.zeros(count, np.uint16)
    pixel, position, previous = 0, 0, 0
    while pixel < count:
        if position + 1 >= len(numbers):
            raise FrameRejected('data', f'RVL data end after {pixel} of {count} pixels')
        zeros, filled = int(numbers[position]), int(numbers[position + 1])
        position, pixel = position + 2, pixel + zeros
        if zeros + filled == 0 or pixel + filled > count or position + filled > len(numbers):
            raise FrameRejected('data', 'damaged RVL data')
        zigzag = numbers[position : position + filled]
        run = previous + np.cumsum((zigzag >> 1) ^ -(zigzag & 1))
        values[pixel : pixel + filled] = run
        previous = int(run[-1]) if filled else previous
        position, pixel = position + filled, pixel + filled
    return values.reshape(height, width)


def _numbers(data: bytes | memoryview) -> Int64[np.ndarray, ' count']:
    """Return every number of the nibble stream; padding nibbles at the end give zeros."""
    words = np.frombuffer(data, '<u4', count=len(data) // 4)
    nibbles: np.ndarray = (
        (words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15
    ).reshape(-1)
    last = np.flatnonzero((nibbles & 8) == 0)
    if not len(last):
        return np.zeros(0, np.int64)
    nibbles = nibbles[: last[-1] + 1].astype(np.int64)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(nibbles)) - np.repeat(first, last - first + 1)
    if place.max() > 6:
        raise FrameRejected('data', 'damaged RVL data')
    return np.add.reduceat((nibbles & 7) << (3 * place), first)
