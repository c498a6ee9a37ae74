# SPDX-License-Identifier: Apache-2.0
"""What bag files of every kind give: topics and undecoded messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flowcam_ros.sequences.losses import LossLog


@dataclass(frozen=True, order=True)
class Topic:
    """A topic of a bag: name, type such as ``sensor_msgs/msg/Image``, and number of messages."""

    name: str
    type: str
    count: int


class RawMessage(NamedTuple):
    """A message as it is stored: CDR bytes and the time it was recorded, nanoseconds."""

    topic: str
    type: str
    log_ns: int
    data: bytes | memoryview


class MessageSource(Protocol):
    """A bag file that can be read any number of times, one message (or chunk) in memory."""

    def topics(self) -> list[Topic]:
        """Return the topics with their counts."""
        ...

    def messages(self, topics: Collection[str], log: LossLog) -> Iterator[RawMessage]:
        """Yield the messages of some topics by recording time; damage is counted in ``log``.

        Raises:
            SequenceError: the file is too damaged to go on.
        """
        ...
