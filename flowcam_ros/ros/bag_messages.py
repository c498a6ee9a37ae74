# SPDX-License-Identifier: Apache-2.0
"""The serialized messages of a ROS 2 bag, whatever their types, as they are to be played."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import ConnectionExtRosbag2, QosDurability
from rosbags.rosbag2 import Reader

from flowcam_ros.errors import SequenceError
from flowcam_ros.sequences.bag.source import open_source
from flowcam_ros.sequences.losses import LossLog


@dataclass(frozen=True)
class RecordedTopic:
    """A topic of a bag; a latched one is sent to those who subscribe later, too."""

    name: str
    type: str
    latched: bool
    messages: int


@dataclass(frozen=True)
class PlayedMessage:
    """A serialized message with the time it is due, nanoseconds of the bag's clock."""

    topic: str
    time_ns: int
    data: bytes


class BagMessages:
    """The messages of a bag, damaged ones as far as they can be read.

    Attributes:
        losses: sentences about what cannot be read; grows while reading.

    Raises:
        UsageError: there is no bag.
        SequenceError: nothing of it can be read.

    """

    def __init__(self, path: Path) -> None:
        """Open a bag: its folder or its data file."""
        self._log = LossLog()
        try:
            self._source = open_source(path, strict=False, log=self._log)
        except OSError as error:
            raise SequenceError(f'{path}: cannot be read ({error.strerror})') from error
        latched = _latched_topics(path)
        self.topics = [
            RecordedTopic(topic.name, topic.type, topic.name in latched, topic.count)
            for topic in sorted(self._source.topics())
        ]
        self.losses = self._log.sentences

    def messages(
        self, topics: Collection[str], skip_s: float = 0.0, duration_s: float | None = None
    ) -> Iterator[PlayedMessage]:
        """Yield the messages of some topics, leaving out the first ``skip_s`` seconds.

        Latched messages that were skipped come first, due when the rest begins.

        Raises:
            SequenceError: the bag is too damaged to go on.
        """
        latched = {topic.name for topic in self.topics if topic.latched}
        held: list[PlayedMessage] = []
        begin: int | None = None
        for message in self._source.messages(topics, self._log):
            if begin is None:
                begin = message.log_ns + round(skip_s * 1e9)
            if message.log_ns < begin:
                if message.topic in latched:
                    held.append(PlayedMessage(message.topic, begin, bytes(message.data)))
                continue
            if duration_s is not None and message.log_ns >= begin + round(duration_s * 1e9):
                return
            yield from held
            held.clear()
            yield PlayedMessage(message.topic, message.log_ns, bytes(message.data))


def _latched_topics(path: Path) -> set[str]:
    """Return the topics whose publishers offered their messages to late subscribers."""
    latched = {'/tf_static'}
    try:
        with Reader(path) as reader:
            for connection in reader.connections:
                assert isinstance(connection.ext, ConnectionExtRosbag2)
                profiles = connection.ext.offered_qos_profiles
                if any(p.durability is QosDurability.TRANSIENT_LOCAL for p in profiles):
                    latched.add(connection.topic)
    # What a damaged bag says of its quality of service is lost; its messages need not be.
    except Exception:
        return latched
    return latched
