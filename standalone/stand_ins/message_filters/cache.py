# SPDX-License-Identifier: Apache-2.0
"""The last messages of a stream."""

from __future__ import annotations

from typing import Any

from message_filters.simple_filter import SimpleFilter
from message_filters.stamps import stamp_of
from rclpy.time import Time


class Cache(SimpleFilter):
    """Keeps the last messages and finds them by their time."""

    def __init__(
        self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False
    ) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        """Take messages from `f`."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Keep a message, drop the oldest when full, and hand the message on."""
        stamp = stamp_of(msg, self.allow_headerless, 'message_filters_cache')
        if stamp is None:
            return
        self.cache_times.append(stamp)
        self.cache_msgs.append(msg)
        del self.cache_times[: -self.cache_size], self.cache_msgs[: -self.cache_size]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Return the messages between two times, both included."""
        return [m for m, t in self._items() if from_stamp <= t <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any | None:
        """Return the oldest message at or after `stamp`; None if there is none."""
        return next((m for m, t in self._items() if t >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any | None:
        """Return the newest message at or before `stamp`; None if there is none."""
        return next((m for m, t in reversed(self._items()) if t <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Return the time of the newest message; None if there is none."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:
        """Return the time of the oldest message; None if there is none."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any | None:
        """Return the newest message; None if there is none."""
        return self.cache_msgs[-1] if self.cache_msgs else None

    def _items(self) -> list[tuple[Any, Time]]:
        return list(zip(self.cache_msgs, self.cache_times, strict=True))
