# SPDX-License-Identifier: Apache-2.0
"""Sets of messages of the same, or nearly the same, time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

from message_filters.simple_filter import SimpleFilter
from message_filters.stamps import stamp_of
from rclpy.duration import Duration
from rclpy.time import Time

Queue = dict[int, Any]


class TimeSynchronizer(SimpleFilter):
    """Hands on one message of each input when all have the same stamp."""

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        """Connect to the filters `fs`; each keeps at most `queue_size` messages waiting."""
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take messages from the filters `fs`, in the order of the callback's arguments."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message of one input; hand on every set that it completes."""
        with self.lock:
            self._keep(my_queue, Time.from_msg(msg.header.stamp).nanoseconds, msg)
            for stamp in sorted(set.intersection(*map(set, self.queues))):
                self._hand_on([stamp] * len(self.queues))

    def _keep(self, queue: Queue, stamp: int, msg: Any) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _hand_on(self, stamps: Sequence[int]) -> None:
        pairs = list(zip(self.queues, stamps, strict=True))
        self.signalMessage(*(queue[stamp] for queue, stamp in pairs))
        for queue, stamp in pairs:
            del queue[stamp]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Hands on one message of each input when their stamps lie less than `slop` apart."""

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        """Connect to the filters `fs`; `slop` in seconds."""
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message of one input; hand on the set it completes, nearest stamps first."""
        time = stamp_of(msg, self.allow_headerless, 'message_filters_approx')
        if time is None:
            return
        with self.lock:
            stamp = time.nanoseconds
            self._keep(my_queue, stamp, msg)
            if stamp not in my_queue:  # older than everything in a full queue
                return
            candidates = [
                [stamp] if queue is my_queue else self._near(queue, stamp) for queue in self.queues
            ]
            for stamps in itertools.product(*candidates):
                if max(stamps) - min(stamps) < self.slop.nanoseconds:
                    self._hand_on(stamps)
                    return

    def _near(self, queue: Queue, stamp: int) -> list[int]:
        """Return the stamps of `queue` within the slop of `stamp`, the nearest first."""
        near = (other for other in queue if abs(other - stamp) <= self.slop.nanoseconds)
        return sorted(near, key=lambda other: abs(other - stamp))
