# SPDX-License-Identifier: Apache-2.0
"""Log lines that repeat, once in a while."""

from __future__ import annotations

import threading
import time

_INTERVAL_S = 10.0


class Throttle:
    """Lets each kind of line through once in ten seconds, with how many were held back."""

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval = interval_s
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def passes(self, kind: str, text: str) -> str | None:
        """Return what to log, or None if this kind was logged a short time ago."""
        now = time.monotonic()
        with self._lock:
            last = self._said.get(kind)
            if last is not None and now - last < self._interval:
                self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
                return None
            self._said[kind] = now
            unsaid = self._unsaid.pop(kind, 0)
        return f'{text} (and {unsaid} more since the last such line)' if unsaid else text
