# SPDX-License-Identifier: Apache-2.0
"""The time of a message."""

from __future__ import annotations

from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time


def stamp_of(msg: Any, allow_headerless: bool, who: str) -> Time | None:
    """Return the stamp of a message; without a header the present time, or None with a warning."""
    if hasattr(msg, 'header') and hasattr(msg.header, 'stamp'):
        stamp = msg.header.stamp
        return stamp if hasattr(stamp, 'nanoseconds') else Time.from_msg(stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger(who).warning(
        "a message without a header's stamp was ignored; 'allow_headerless' gives it the time of "
        'its arrival'
    )
    return None
