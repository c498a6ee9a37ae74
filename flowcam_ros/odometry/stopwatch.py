# SPDX-License-Identifier: Apache-2.0
"""Wall time of the steps of one frame."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up milliseconds by name; starts when it is made."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a step."""
        begin = time.perf_counter()
        yield
        spent = (time.perf_counter() - begin) * 1e3
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent

    def finish(self) -> dict[str, float]:
        """Return all steps, with the time since the start as ``total``."""
        total = (time.perf_counter() - self._begin) * 1e3
        return {**self.milliseconds, 'total': total}
