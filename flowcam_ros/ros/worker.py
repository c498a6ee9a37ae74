# SPDX-License-Identifier: Apache-2.0
"""One thread that does the work on frames, so that the executor never waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Hands items from one thread to another; keeps the newest when it is full.

    Args:
        capacity: 1 keeps the newest item alone; more keep the order.
    """

    def __init__(self, capacity: int = 1) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> int:
        """Add an item; return how many older ones were dropped for it."""
        with self._changed:
            self._items.append(item)
            dropped = 0
            while len(self._items) > self._capacity:
                self._items.popleft()
                dropped += 1
            self._changed.notify()
            return dropped

    def take(self) -> T | None:
        """Wait for the next item; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            return None if self._closed else self._items.popleft()

    def clear(self) -> int:
        """Throw away what waits; return how many that were."""
        with self._changed:
            count = len(self._items)
            self._items.clear()
            return count

    def close(self) -> None:
        """Let :meth:`take` return None from now on."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


class Worker(Generic[T]):
    """Takes items from a mailbox in a thread of its own.

    Args:
        handle: the work; must not raise.
        mailbox: where items come from.
    """

    def __init__(self, handle: Callable[[T], None], mailbox: Mailbox[T]) -> None:
        self._handle = handle
        self._mailbox = mailbox
        self._busy_since: float | None = None
        # A daemon, because a thread that hangs in a library must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name='frames', daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Finish the item at hand and end; return whether that took at most ``timeout`` s."""
        self._mailbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def busy_seconds(self) -> float:
        """Return how long the item at hand has been worked on; 0 when idle."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        while (item := self._mailbox.take()) is not None:
            self._busy_since = time.monotonic()
            self._handle(item)
            self._busy_since = None
