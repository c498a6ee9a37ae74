# SPDX-License-Identifier: Apache-2.0
"""Publishes the messages of a bag at the pace at which they were recorded."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from flowcam_ros.ros.bag_messages import PlayedMessage, RecordedTopic
from flowcam_ros.ros.restamp import Restamper, StampMap, restamper_of

# When publishing is later than this, the rest is put off instead of sent in a burst.
MAX_LAG_S = 0.25
# Discovery under load was seen to take the other side most of a second longer.
_SETTLE_S = 1.0


@dataclass
class PlayReport:
    """How the playing went.

    Attributes:
        messages: number of messages published, by topic.
        skipped: topics left out, and why.
        damaged: number of messages left out because they are too damaged to move their stamps.
        seconds: time from the first to the last message of all passes.
        max_lag_ms: the most by which a message was late.
        put_off_ms: by how much the rest was put off in all because the reading was too slow.
        stamp_offset_ns: what was added to the header stamps in the last pass (at rate 1).
    """

    messages: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    max_lag_ms: float = 0.0
    put_off_ms: float = 0.0
    stamp_offset_ns: int = 0


class BagPlayer:
    """One publisher for each topic of a bag, on a given node.

    Topics whose type is not installed are left out; the report names them.
    """

    def __init__(
        self,
        node: Node,
        topics: Iterable[RecordedTopic],
        *,
        rate: float,
        clock_hz: float,
        now: bool,
    ) -> None:
        """Make the publishers.

        Args:
            node: who publishes.
            topics: what to publish.
            rate: 2 plays twice as fast.
            clock_hz: how often /clock tells the bag's time; 0 never.
            now: move header stamps so that the bag seems to be recorded now.
        """
        self._rate = rate
        self._now = now
        self._clock_period = 1.0 / clock_hz if clock_hz > 0 else 0.0
        self._next_clock = 0.0
        self._clock = node.create_publisher(Clock, '/clock', 10) if clock_hz > 0 else None
        self._publishers: dict[str, Publisher] = {}
        self._restampers: dict[str, Restamper | None] = {}
        self.report = PlayReport()
        for topic in topics:
            message_class = find_message_class(topic.type)
            if message_class is None:
                self.report.skipped[topic.name] = (
                    f'{topic.type} is not installed here; its {topic.messages} messages are lost'
                )
            else:
                self._publishers[topic.name] = node.create_publisher(
                    message_class, topic.name, quality_of(topic)
                )
                self._restampers[topic.name] = restamper_of(message_class) if now else None

    @property
    def topics(self) -> set[str]:
        """Return the names of the topics that are played."""
        return set(self._publishers)

    def wait_for_subscribers(self, topics: Iterable[str], timeout_s: float) -> list[str]:
        """Wait until each topic has a subscriber; return those that still have none.

        Then waits a little more: a subscriber hears nothing before it has found the publisher
        too, which it does in its own time.
        """
        deadline = time.monotonic() + timeout_s
        missing = list(topics)
        while missing and time.monotonic() < deadline:
            time.sleep(0.02)
            missing = [t for t in missing if not self._publishers[t].get_subscription_count()]
        time.sleep(_SETTLE_S)
        return missing

    def play(self, messages: Iterable[PlayedMessage]) -> None:
        """Publish the messages once, the first one at once."""
        upcoming = iter(messages)
        first = next(upcoming, None)
        if first is None:
            return
        start_ns = first.time_ns
        wall_ns = time.time_ns()
        begin = origin = time.monotonic()
        self.report.stamp_offset_ns = wall_ns - start_ns if self._now else 0

        def moved(stamp_ns: int) -> int:
            # Integers where possible: a stamp has more digits than a float.
            since = stamp_ns - start_ns
            return wall_ns + (since if self._rate == 1.0 else round(since / self._rate))

        for message in chain((first,), upcoming):
            due = origin + (message.time_ns - start_ns) * 1e-9 / self._rate
            self._sleep_until(due, origin, start_ns)
            lag = time.monotonic() - due
            self.report.max_lag_ms = max(self.report.max_lag_ms, lag * 1e3)
            if lag > MAX_LAG_S:
                origin += lag
                self.report.put_off_ms += lag * 1e3
            data = self._stamped(message, moved)
            counts = self.report.damaged if data is None else self.report.messages
            counts[message.topic] = counts.get(message.topic, 0) + 1
            if data is not None:
                self._publishers[message.topic].publish(data)
        self.report.seconds += time.monotonic() - begin

    def _stamped(self, message: PlayedMessage, stamp_map: StampMap) -> bytes | None:
        """Return the message as it is to be sent; None if it is damaged."""
        restamp = self._restampers[message.topic]
        if restamp is None:
            return message.data
        try:
            return restamp(message.data, stamp_map)
        # Damaged bytes bring out struct, index and value errors, and what rclpy raises for them.
        except Exception:
            return None

    def flush(self, timeout_s: float = 1.0) -> None:
        """Give the last messages the time to arrive before the publishers vanish."""
        deadline = time.monotonic() + timeout_s
        for publisher in self._publishers.values():
            with contextlib.suppress(NotImplementedError):
                left = max(0.0, deadline - time.monotonic())
                publisher.wait_for_all_acked(Duration(seconds=left))
        # Best-effort subscribers acknowledge nothing.
        time.sleep(0.2)

    def _sleep_until(self, due: float, origin: float, start_ns: int) -> None:
        """Sleep up to a time of the monotonic clock; meanwhile tell the bag's time."""
        while True:
            now = time.monotonic()
            if self._clock is not None and now >= self._next_clock:
                bag_ns = start_ns + int((min(now, due) - origin) * 1e9 * self._rate)
                seconds, nanoseconds = divmod(max(bag_ns, 0), 1_000_000_000)
                self._clock.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))
                self._next_clock = now + self._clock_period
            if now >= due:
                return
            wake = min(due, self._next_clock) if self._clock is not None else due
            time.sleep(max(0.0, wake - now))


def quality_of(topic: RecordedTopic) -> QoSProfile:
    """Return a quality of service that every subscriber can take."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=100 if topic.latched else 10,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=durability,
    )


def find_message_class(type_name: str) -> type[Any] | None:
    """Return the Python class of ``package/msg/Name``; None if it is not installed."""
    package, _, name = type_name.partition('/msg/')
    try:
        message_class: type[Any] = getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return message_class
