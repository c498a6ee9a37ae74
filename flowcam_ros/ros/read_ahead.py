# SPDX-License-Identifier: Apache-2.0
"""Reads messages in a thread ahead of their time, so that a slow disk does not delay them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType

from flowcam_ros.ros.bag_messages import PlayedMessage

BUDGET_BYTES = 64_000_000


class ReadAhead:
    """Iterates over messages that a thread reads into a buffer of bounded size.

    Used as a context manager; leaving it ends the thread. An error of the source is raised to
    the reader after the messages that came before it.
    """

    def __init__(self, source: Iterator[PlayedMessage], budget_bytes: int = BUDGET_BYTES) -> None:
        """Begin to read at once; at most ``budget_bytes`` and one more message are held."""
        self._source = source
        self._budget = budget_bytes
        self._held = 0
        self._messages: deque[PlayedMessage] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name='read-ahead', daemon=True)
        self._thread.start()

    def __enter__(self) -> ReadAhead:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[PlayedMessage]:
        """Yield the messages in the order of the source."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._messages or self._ended)
                if not self._messages:
                    break
                message = self._messages.popleft()
                self._held -= len(message.data)
                self._changed.notify_all()
            yield message
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        try:
            for message in self._source:
                with self._changed:
                    self._changed.wait_for(lambda: self._held < self._budget or self._ended)
                    if self._ended:
                        return
                    self._messages.append(message)
                    self._held += len(message.data)
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
