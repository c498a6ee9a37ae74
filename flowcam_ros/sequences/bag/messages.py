# SPDX-License-Identifier: Apache-2.0
"""From CDR bytes to message objects, by the rosbags library."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rosbags.typesys import Stores, get_typestore

from flowcam_ros.errors import FrameRejected
from flowcam_ros.sequences.bag.raw import RawMessage
from flowcam_ros.sequences.stamps import NANOSECONDS

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
ODOMETRY = 'nav_msgs/msg/Odometry'
TF = 'tf2_msgs/msg/TFMessage'


@functools.cache
def typestore() -> Typestore:
    """Return the message types of ROS 2 Jazzy; the ones used here are alike in every ROS 2."""
    return get_typestore(Stores.ROS2_JAZZY)


def deserialize(message: RawMessage) -> Any:
    """Return the message object; its arrays are views of the raw bytes.

    Raises:
        FrameRejected: with reason 'message': the bytes are damaged.
    """
    try:
        return typestore().deserialize_cdr(message.data, message.type)
    # Damaged bytes bring out struct, unicode, value, index, key and memory errors.
    except Exception as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise FrameRejected(
            'message', f'{message.topic}: not a {message.type} ({reason})'
        ) from error


def stamp_of(header: Any) -> int:
    """Return a header's stamp in integer nanoseconds.

    Raises:
        FrameRejected: with reason 'stamp': it is negative or has too many nanoseconds.
    """
    seconds, nanoseconds = int(header.stamp.sec), int(header.stamp.nanosec)
    if seconds < 0 or not 0 <= nanoseconds < NANOSECONDS:
        raise FrameRejected('stamp', f'stamp {seconds} s {nanoseconds} ns is damaged')
    return seconds * NANOSECONDS + nanoseconds
