# SPDX-License-Identifier: Apache-2.0
"""Bags read by the rosbags library: sqlite3 files, and folders with compressed messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

from rosbags.rosbag2 import Reader

from flowcam_ros.errors import SequenceError
from flowcam_ros.sequences.bag.raw import RawMessage, Topic
from flowcam_ros.sequences.losses import LossLog


class RosbagsFile:
    """A ``.db3`` file, or a bag folder that needs its metadata.yaml; a MessageSource.

    Raises:
        SequenceError: it cannot be opened.
    """

    def __init__(self, path: Path, *, strict: bool, log: LossLog) -> None:
        self._path = path
        try:
            with Reader(path) as reader:
                self._topics = [Topic(c.topic, c.msgtype, c.msgcount) for c in reader.connections]
            if strict and path.suffix == '.db3':
                _check_integrity(path, log)
        # rosbags lets errors of many libraries through on damaged files.
        except Exception as error:
            self._fail(error)

    def topics(self) -> list[Topic]:
        """Return the topics with their counts."""
        return list(self._topics)

    def messages(self, topics: Collection[str], log: LossLog) -> Iterator[RawMessage]:
        """Yield the messages of some topics by recording time.

        Raises:
            SequenceError: the file is damaged.
        """
        count = 0
        try:
            with Reader(self._path) as reader:
                connections = [c for c in reader.connections if c.topic in topics]
                if not connections:
                    return
                for connection, log_ns, data in reader.messages(connections):
                    yield _checked(connection.topic, connection.msgtype, log_ns, data)
                    count += 1
        except Exception as error:
            self._fail(error, f' after {count} messages')

    def _fail(self, error: Exception, where: str = '') -> NoReturn:
        reason = ' '.join(str(error).split()) or type(error).__name__
        advice = ''
        if self._path.suffix == '.db3':
            good = self._path.with_name(f'{self._path.stem}_recovered.db3').name
            advice = f'; try: sqlite3 {self._path.name} .recover | sqlite3 {good}'
        raise SequenceError(f'{self._path} cannot be read{where} ({reason}){advice}') from error


def _checked(topic: str, kind: str, log_ns: object, data: object) -> RawMessage:
    """Return a message even where a damaged database gives values of wrong types."""
    return RawMessage(
        topic,
        kind,
        log_ns if isinstance(log_ns, int) else 0,
        data if isinstance(data, bytes) else b'',
    )


def _check_integrity(path: Path, log: LossLog) -> None:
    import sqlite3

    connection = sqlite3.connect(f'{path.resolve().as_uri()}?immutable=1', uri=True)
    try:
        findings = [row[0] for row in connection.execute('PRAGMA integrity_check(3)')]
    finally:
        connection.close()
    if findings != ['ok']:
        log.note(f'{path.name}: the database is damaged ({"; ".join(map(str, findings))})')
