# SPDX-License-Identifier: Apache-2.0
"""Decode JPEG and PNG pictures and sensor_msgs/CompressedImage without ROS.

The size is read from the file's header and checked before anything is decoded, so that a small
message cannot claim a picture that fills the memory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.errors import FrameRejected
from flowcam_ros.sequences.encodings import IMAGE_ENCODINGS
from flowcam_ros.sequences.pixels import check_size, depth_to_metres, to_grey_or_bgr
from flowcam_ros.sequences.rvl import decode_rvl

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
# JPEG markers that start a frame and so carry its size: SOF0-15 without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# compressed_depth_image_transport puts its ConfigHeader before the file: int32 format and the two
# float32 parameters that turn the stored integers of float depth back into inverse depth.
_DEPTH_HEADER = struct.Struct('<iff')


@dataclass(frozen=True)
class FileHeader:
    """What the first bytes of a picture file say: format ('png' or 'jpeg') and size in pixels."""

    format: str
    width: int
    height: int


def read_file_header(data: bytes | memoryview) -> FileHeader:
    """Read format and size of a PNG or JPEG file without decoding it.

    Raises:
        FrameRejected: with reason 'format' (neither of the two) or 'data' (no size in it, or cut
            off).
    """
    start = bytes(data[:24])
    if start.startswith(_PNG):
        if len(start) < 24 or start[12:16] != b'IHDR':
            raise FrameRejected('data', 'PNG without a header')
        width, height = struct.unpack('>II', start[16:24])
        return FileHeader('png', width, height)
    if start.startswith(_JPEG):
        return _read_jpeg_header(data)
    if not start:
        raise FrameRejected('data', 'no data')
    raise FrameRejected('format', 'neither JPEG nor PNG; accepted: jpeg, png')


def _read_jpeg_header(data: bytes | memoryview) -> FileHeader:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_FRAMES:
            # Older OpenCV fills up a picture that was cut off instead of refusing it.
            if _JPEG_END not in bytes(data[position:]):
                raise FrameRejected('data', 'JPEG without an end: it was cut off')
            height, width = struct.unpack('>HH', bytes(data[position + 5 : position + 9]))
            return FileHeader('jpeg', width, height)
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    raise FrameRejected('data', 'JPEG without a header')


def decode_file(data: Any) -> np.ndarray:
    """Decode the bytes of a PNG or JPEG file as they are: 8 or 16 bits, any channels, BGR order.

    A rotation noted in EXIF is ignored: intrinsics belong to the pixels as they are stored.

    Raises:
        FrameRejected: with reason 'format', 'size' or 'data'.
    """
    try:
        buffer = np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise FrameRejected('data', f'the data are not bytes ({error})') from error
    header = read_file_header(buffer.data)
    check_size(header.width, header.height)
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise FrameRejected('data', f'damaged {header.format} data') from error
    if image is None or image.shape[:2] != (header.height, header.width):
        raise FrameRejected('data', f'damaged {header.format} data')
    return image


def decode_compressed(msg: Any) -> UInt8[np.ndarray, 'height width *channels']:
    """Return the picture of a sensor_msgs/CompressedImage (JPEG or PNG) as grey or BGR uint8.

    The bytes say what they are; of the field ``format`` only a Bayer pattern matters.

    Raises:
        FrameRejected: with reason 'message', 'format', 'size', 'data' or 'encoding'.
    """
    name, data = _fields(msg)
    image = decode_file(data)
    encoding = name.split(';')[0].strip()
    if encoding.startswith('bayer_') and image.ndim == 2 and image.dtype == np.uint8:
        pattern = IMAGE_ENCODINGS.get(encoding)
        if pattern is not None and pattern.conversion is not None:
            return cv2.cvtColor(image, pattern.conversion)
    return to_grey_or_bgr(image)


def decode_compressed_depth(msg: Any) -> Float[np.ndarray, 'height width']:
    """Return the depth of a sensor_msgs/CompressedImage in metres, float32, 0 where unknown.

    Understood are what compressed_depth_image_transport sends (``16UC1; compressedDepth``,
    ``32FC1; compressedDepth``, each as png or rvl) and a plain 16-bit PNG in millimetres.

    Raises:
        FrameRejected: with reason 'message', 'format', 'size', 'data' or 'encoding'.
    """
    name, data = _fields(msg)
    if 'compressedDepth' not in name:
        return depth_to_metres(_sixteen_bit(decode_file(data)), 1000.0)
    encoding = name.split(';')[0].strip()
    if encoding not in ('16UC1', '32FC1', 'mono16'):
        raise FrameRejected(
            'encoding', f'encoding {encoding!r} of {name!r}; accepted: 16UC1, 32FC1'
        )
    try:
        buffer = np.frombuffer(data, np.uint8).data
    except (TypeError, ValueError, BufferError) as error:
        raise FrameRejected('data', f'the data are not bytes ({error})') from error
    if len(buffer) <= _DEPTH_HEADER.size:
        raise FrameRejected('data', f'{len(buffer)} bytes are too few for compressedDepth')
    _, quant_a, quant_b = _DEPTH_HEADER.unpack_from(buffer)
    stored = buffer[_DEPTH_HEADER.size :]
    raw = decode_rvl(stored) if name.rstrip().endswith('rvl') else decode_file(stored)
    raw = _sixteen_bit(raw)
    if encoding != '32FC1':
        return depth_to_metres(raw, 1000.0)
    with np.errstate(all='ignore'):
        metres = np.float32(quant_a) / (raw.astype(np.float32) - np.float32(quant_b))
    metres[raw == 0] = 0.0
    return depth_to_metres(metres)


def _fields(msg: Any) -> tuple[str, Any]:
    try:
        name, data = msg.format, msg.data
        len(data)
    except (AttributeError, TypeError) as error:
        raise FrameRejected('message', f'not a sensor_msgs/CompressedImage ({error})') from error
    if not isinstance(name, str):
        raise FrameRejected('message', f'format {name!r} is not a string')
    return name, data


def _sixteen_bit(raw: np.ndarray) -> np.ndarray:
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise FrameRejected(
            'encoding', f'depth of {raw.dtype} with shape {raw.shape}; expected 16-bit grey'
        )
    return raw
