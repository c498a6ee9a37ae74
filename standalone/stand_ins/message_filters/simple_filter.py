# SPDX-License-Identifier: Apache-2.0
"""The root of all filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Callback = Callable[..., None]


class SimpleFilter:
    """Hands messages on to registered callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callback, tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callback, *args: Any) -> int:
        """Call ``cb(*messages, *args)`` for each output from now on; return the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Give an output to all callbacks."""
        for callback, arguments in self.callbacks.values():
            callback(*msg, *arguments)
