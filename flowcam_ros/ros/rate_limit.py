# SPDX-License-Identifier: Apache-2.0
"""At most so many per second, by stamps."""

from __future__ import annotations


class RateLimit:
    """Lets through at most so many stamps per second."""

    def __init__(self) -> None:
        self._next_ns = 0
        self._last_ns = 0

    def passes(self, stamp: int, rate: float) -> bool:
        """Return whether this stamp is taken; ``rate`` in Hz, 0 is no limit."""
        if rate <= 0:
            return True
        period = round(1e9 / rate)
        if stamp < self._last_ns:  # time went back
            self._next_ns = 0
        self._last_ns = stamp
        # Half of the camera's jitter must not cost a whole frame.
        if stamp < self._next_ns - period // 8:
            return False
        self._next_ns = max(self._next_ns + period, stamp + period // 2)
        return True
