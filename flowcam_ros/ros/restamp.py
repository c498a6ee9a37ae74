# SPDX-License-Identifier: Apache-2.0
"""Moves the header stamps of serialized messages, without taking the messages apart."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message
from tf2_msgs.msg import TFMessage

StampMap = Callable[[int], int]
Restamper = Callable[[bytes, StampMap], bytes]

# A CDR message begins with four bytes that tell its byte order; a header's stamp follows them.
_STAMP_AT = 4


def restamper_of(message_class: type[Any]) -> Restamper | None:
    """Return what restamps serialized messages of a class, None if they carry no header stamp.

    Zero stamps, which mean "whenever", stay zero.
    """
    if message_class is TFMessage:
        return _restamp_transforms
    fields = message_class.get_fields_and_field_types()
    if next(iter(fields.values()), '') == 'std_msgs/Header':
        return _restamp_header
    return None


def _restamp_header(message: bytes, stamp_map: StampMap) -> bytes:
    order = '<' if message[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{order}iI', message, _STAMP_AT)
    moved = _move(seconds, nanoseconds, stamp_map)
    stamp = struct.pack(f'{order}iI', *moved)
    return b''.join((message[:_STAMP_AT], stamp, message[_STAMP_AT + 8 :]))


def _restamp_transforms(message: bytes, stamp_map: StampMap) -> bytes:
    transforms = deserialize_message(message, TFMessage)
    for transform in transforms.transforms:
        stamp = transform.header.stamp
        stamp.sec, stamp.nanosec = _move(stamp.sec, stamp.nanosec, stamp_map)
    return bytes(serialize_message(transforms))


def _move(seconds: int, nanoseconds: int, stamp_map: StampMap) -> tuple[int, int]:
    if seconds == 0 and nanoseconds == 0:
        return 0, 0
    return divmod(stamp_map(seconds * 1_000_000_000 + nanoseconds), 1_000_000_000)
