# SPDX-License-Identifier: Apache-2.0
"""Between messages and plain numbers."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import TransformStamped
from tf2_ros.rigid import Rigid, normalise


def nanoseconds(time: Any) -> int:
    """Return a time of rclpy or of a message in nanoseconds."""
    if hasattr(time, 'nanoseconds'):
        return int(time.nanoseconds)
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def rigid_from(message: TransformStamped) -> Rigid:
    """Return ``parent_from_child`` as it stands in the message, unchecked."""
    q, t = message.transform.rotation, message.transform.translation
    return Rigid((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))


def message_from(
    target_from_source: Rigid, stamp: int, target_frame: str, source_frame: str
) -> TransformStamped:
    """Return the message that a look-up answers with; `stamp` in nanoseconds."""
    message = TransformStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    message.header.frame_id = target_frame
    message.child_frame_id = source_frame
    q, t = message.transform.rotation, message.transform.translation
    q.x, q.y, q.z, q.w = normalise(target_from_source.rotation)
    t.x, t.y, t.z = target_from_source.translation
    return message
