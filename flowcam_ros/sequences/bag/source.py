# SPDX-License-Identifier: Apache-2.0
"""Where the raw messages of a bag come from: one file or several, of either storage."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any

import yaml

from flowcam_ros.errors import SequenceError, UsageError
from flowcam_ros.sequences.bag.raw import MessageSource, RawMessage, Topic
from flowcam_ros.sequences.losses import LossLog


def open_source(path: Path, *, strict: bool, log: LossLog) -> MessageSource:
    """Open a bag: a ``.mcap`` or ``.db3`` file, or a folder of them with or without metadata.

    Args:
        path: file or folder.
        strict: check every stored checksum now.
        log: takes what is known to be lost before reading.

    Raises:
        UsageError: there is no bag file.
        SequenceError: nothing of it can be read.
    """
    if not path.exists():
        raise UsageError(f'{path} does not exist')
    if path.is_file():
        return _open_file(path, None, strict=strict, log=log)
    metadata = _read_metadata(path)
    if metadata.get('compression_mode'):
        from flowcam_ros.sequences.bag.rosbags_file import RosbagsFile

        return RosbagsFile(path, strict=strict, log=log)
    files = _data_files(path, metadata, log)
    counts = _message_counts(metadata)
    sources: list[MessageSource] = []
    errors: list[SequenceError] = []
    for file in files:
        try:
            sources.append(_open_file(file, counts.get(file.name), strict=strict, log=log))
        except SequenceError as error:
            errors.append(error)
    if not sources:
        raise errors[0]
    for unreadable in errors:
        log.note(f'one file of the bag is left out: {unreadable}')
    return sources[0] if len(sources) == 1 else _Chain(sources)


def _open_file(path: Path, count: int | None, *, strict: bool, log: LossLog) -> MessageSource:
    if path.stat().st_size == 0:
        raise SequenceError(f'{path} is empty: nothing was recorded')
    if path.suffix == '.mcap':
        from flowcam_ros.sequences.bag.mcap_file import McapFile

        return McapFile(path, count, strict=strict, log=log)
    from flowcam_ros.sequences.bag.rosbags_file import RosbagsFile

    return RosbagsFile(path, strict=strict, log=log)


def _read_metadata(folder: Path) -> dict[str, Any]:
    """Return what metadata.yaml says; nothing where it is missing or damaged, it is a copy."""
    try:
        content = yaml.safe_load((folder / 'metadata.yaml').read_text(encoding='utf-8'))
        information = content['rosbag2_bagfile_information']
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError):
        return {}
    return information if isinstance(information, dict) else {}


def _data_files(folder: Path, metadata: dict[str, Any], log: LossLog) -> list[Path]:
    present = [p for p in folder.iterdir() if p.suffix in ('.mcap', '.db3') and p.is_file()]
    present.sort(key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r'(\d+)', p.name)])
    listed = metadata.get('relative_file_paths')
    if isinstance(listed, list) and listed:
        names = [PurePath(str(name)).name for name in listed]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing and present:
            log.note(f'{", ".join(missing)}: named in metadata.yaml but missing')
        present = [folder / name for name in names if name not in missing] or present
    if not present:
        raise UsageError(f'{folder}: no .mcap or .db3 file in it, so it is no ROS 2 bag')
    return present


def _message_counts(metadata: dict[str, Any]) -> dict[str, int]:
    files = metadata.get('files')
    if not isinstance(files, list):
        return {}
    return {
        PurePath(str(file.get('path'))).name: file['message_count']
        for file in files
        if isinstance(file, dict) and isinstance(file.get('message_count'), int)
    }


class _Chain:
    """The files of a split bag, one after the other."""

    def __init__(self, sources: list[MessageSource]) -> None:
        self._sources = sources

    def topics(self) -> list[Topic]:
        """Return the topics of all files, counts added."""
        counts: dict[tuple[str, str], int] = {}
        for source in self._sources:
            for topic in source.topics():
                key = (topic.name, topic.type)
                counts[key] = counts.get(key, 0) + topic.count
        return [Topic(name, kind, count) for (name, kind), count in counts.items()]

    def messages(self, topics: Collection[str], log: LossLog) -> Iterator[RawMessage]:
        """Yield the messages of each file in turn."""
        for source in self._sources:
            yield from source.messages(topics, log)
