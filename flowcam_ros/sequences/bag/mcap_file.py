# SPDX-License-Identifier: Apache-2.0
"""MCAP files, also truncated and damaged ones: every chunk that is whole is read.

The mcap library parses the records; this module finds them, checks that each one lies inside the
file before it is read, and goes on behind a damaged one.
"""

from __future__ import annotations

import heapq
import io
import logging
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, ChunkIndex, DataEnd, Schema
from mcap.stream_reader import StreamReader, get_chunk_data_stream
from mcap.summary import Summary

from flowcam_ros.errors import SequenceError
from flowcam_ros.sequences.bag.raw import RawMessage, Topic
from flowcam_ros.sequences.losses import LossLog

_LOG = logging.getLogger(__name__)
_MAGIC = b'\x89MCAP0\r\n'
_RECORD = struct.Struct('<BQ')
_MESSAGE = struct.Struct('<HIQQ')
# Times, size, checksum, then the lengths of the name of the compression (0: none) and of the data.
_CHUNK = struct.Struct('<QQQIIQ')
# More than this is a damaged length, not a chunk: recorders write chunks of a few megabytes.
_LARGEST_CHUNK = 2**30


class _Cut(Exception):
    """The records end at ``offset`` although the file goes on, or ends inside a record."""

    def __init__(self, offset: int) -> None:
        super().__init__(f'no whole record at byte {offset}')
        self.offset = offset


class McapFile:
    """One MCAP file; a MessageSource.

    A file with a readable index is read through it, so that damage costs single chunks. Without
    one (the recorder crashed, or the file was cut) it is scanned once, and read up to the place
    where the records end; whole messages of an uncompressed last chunk are read, too.

    Args:
        path: the file.
        expected: number of messages that metadata.yaml claims, if it is there.
        strict: check the stored checksum of the whole file now.
        log: takes what is known to be lost.

    Raises:
        SequenceError: it is no MCAP file, or holds no topic that could be read.
    """

    def __init__(self, path: Path, expected: int | None, *, strict: bool, log: LossLog) -> None:
        self._path = path
        self._channels: dict[int, Channel] = {}
        self._schemas: dict[int, Schema] = {}
        self._counts: dict[int, int] = {}
        self._chunks: list[ChunkIndex] = []
        with path.open('rb') as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise SequenceError(f'{path} is not an MCAP file')
            self._end = self._whole = path.stat().st_size
            if not self._read_summary(file):
                self._scan(file, expected, log)
        if not self._channels:
            raise SequenceError(f'{path}: no topic can be read; {"; ".join(log.sentences)}')
        if strict:
            self._check_checksums(log)

    def topics(self) -> list[Topic]:
        """Return the topics of CDR messages with their counts."""
        return [
            Topic(channel.topic, self._type(channel), self._counts.get(key, 0))
            for key, channel in sorted(self._channels.items())
            if channel.message_encoding == 'cdr'
        ]

    def messages(self, topics: Collection[str], log: LossLog) -> Iterator[RawMessage]:
        """Yield the messages of some topics by recording time (by place where there is no index).

        Damaged chunks are counted in ``log``; what they held is lost.

        Raises:
            SequenceError: the file system fails.
        """
        wanted = {key for key, c in self._channels.items() if c.topic in topics}
        try:
            with self._path.open('rb') as file:
                read = (
                    self._indexed(file, wanted, log) if self._chunks else self._linear(file, log)
                )
                for key, log_ns, data in read:
                    if key in wanted:
                        channel = self._channels[key]
                        yield RawMessage(channel.topic, self._type(channel), log_ns, data)
        except OSError as error:
            raise SequenceError(f'{self._path} cannot be read ({error.strerror})') from error

    def _type(self, channel: Channel) -> str:
        schema = self._schemas.get(channel.schema_id)
        return schema.name if schema else ''

    def _read_summary(self, file: BinaryIO) -> bool:
        file.seek(0)
        try:
            summary: Summary | None = SeekingReader(
                file, record_size_limit=self._end
            ).get_summary()
        # Any exception can come out of a damaged summary; the data are read without it then.
        except Exception:
            return False
        if summary is None or summary.statistics is None or not summary.channels:
            return False
        if summary.statistics.chunk_count != len(summary.chunk_indexes):
            return False
        self._channels, self._schemas = summary.channels, summary.schemas
        self._counts = summary.statistics.channel_message_counts
        self._chunks = summary.chunk_indexes
        return True

    def _scan(self, file: BinaryIO, expected: int | None, log: LossLog) -> None:
        """Find topics and counts by reading the whole file once."""
        complete = False
        try:
            for offset, opcode, length in _records(file, len(_MAGIC), self._end):
                if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                    self._end, complete = offset, True
                    break
                for key, _, _ in self._record(file, offset, opcode, length, LossLog()):
                    self._counts[key] = self._counts.get(key, 0) + 1
        except _Cut as cut:
            self._end = self._whole = cut.offset
            for key, _, _ in self._cut_chunk(file, LossLog()):
                self._counts[key] = self._counts.get(key, 0) + 1
        if not complete:
            count = sum(self._counts.values())
            likely = expected or round(count * self._path.stat().st_size / self._whole)
            log.note(
                f'{self._path.name}: {count} of ~{max(count, likely)} messages, '
                f'truncated at byte {self._whole}'
            )

    def _linear(self, file: BinaryIO, log: LossLog) -> Iterator[tuple[int, int, memoryview]]:
        try:
            for offset, opcode, length in _records(file, len(_MAGIC), self._end):
                if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                    return
                yield from self._record(file, offset, opcode, length, log)
            yield from self._cut_chunk(file, log)
        except _Cut as cut:
            log.say(f'{self._path.name}: damaged at byte {cut.offset}, the rest is not read')

    def _cut_chunk(self, file: BinaryIO, log: LossLog) -> Iterator[tuple[int, int, memoryview]]:
        """Yield the whole messages of a chunk that the file ends in, if it is not compressed."""
        file.seek(self._end)
        head = file.read(_RECORD.size + _CHUNK.size)
        if len(head) < _RECORD.size + _CHUNK.size or head[0] != Opcode.CHUNK:
            return
        if _CHUNK.unpack_from(head, _RECORD.size)[4]:
            return
        start = self._end + len(head)
        try:
            for offset, opcode, length in _records(file, start, self._path.stat().st_size):
                yield from self._record(file, offset, opcode, length, log)
        except _Cut as cut:
            self._whole = cut.offset

    def _record(
        self, file: BinaryIO, offset: int, opcode: int, length: int, log: LossLog
    ) -> Iterator[tuple[int, int, memoryview]]:
        """Yield the messages of one record of the file; take up topics it declares."""
        if opcode not in (Opcode.CHUNK, Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL):
            return
        if opcode == Opcode.CHUNK:
            yield from sorted(self._chunk(file, offset, log), key=lambda message: message[1])
            return
        try:
            messages = list(self._content(opcode, memoryview(file.read(length))))
        # As for chunks: parsers fail in many ways on damaged bytes.
        except Exception as error:
            log.count('records are damaged', f'at byte {offset} of {self._path.name}: {error!r}')
            return
        yield from messages

    def _indexed(
        self, file: BinaryIO, wanted: set[int], log: LossLog
    ) -> Iterator[tuple[int, int, memoryview]]:
        """Yield messages in order of time: chunks may overlap, so they go through a heap."""
        heap: list[tuple[int, int, int, memoryview]] = []
        serial = 0
        for chunk in sorted(
            self._chunks, key=lambda c: (c.message_start_time, c.chunk_start_offset)
        ):
            if chunk.message_index_offsets and wanted.isdisjoint(chunk.message_index_offsets):
                continue
            while heap and heap[0][0] < chunk.message_start_time:
                log_ns, _, key, data = heapq.heappop(heap)
                yield key, log_ns, data
            for key, log_ns, data in self._chunk(file, chunk.chunk_start_offset, log):
                if key in wanted:
                    heapq.heappush(heap, (log_ns, serial, key, data))
                    serial += 1
        while heap:
            log_ns, _, key, data = heapq.heappop(heap)
            yield key, log_ns, data

    def _chunk(
        self, file: BinaryIO, offset: int, log: LossLog
    ) -> list[tuple[int, int, memoryview]]:
        """Return the messages of the chunk at ``offset``, as many as can be read."""
        messages: list[tuple[int, int, memoryview]] = []
        try:
            unpacked = _unpack_chunk(file, offset, self._end)
            content = memoryview(unpacked)
            for start, opcode, length in _records(io.BytesIO(unpacked), 0, len(unpacked)):
                record = content[start + _RECORD.size : start + _RECORD.size + length]
                messages.extend(self._content(opcode, record))
        # Decompressors and parsers fail in many ways on damaged bytes; all mean the same.
        except Exception as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            log.count(
                'chunks are damaged, their messages are lost',
                f'at byte {offset} of {self._path.name}: {reason}',
            )
        return messages

    def _content(self, opcode: int, content: memoryview) -> Iterator[tuple[int, int, memoryview]]:
        if opcode == Opcode.MESSAGE:
            key, _, log_ns, _ = _MESSAGE.unpack_from(content)
            yield key, log_ns, content[_MESSAGE.size :]
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(ReadDataStream(io.BytesIO(content)))
            self._schemas.setdefault(schema.id, schema)
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(ReadDataStream(io.BytesIO(content)))
            self._channels.setdefault(channel.id, channel)

    def _check_checksums(self, log: LossLog) -> None:
        stored = False
        try:
            with self._path.open('rb') as file:
                reader = StreamReader(
                    file, emit_chunks=True, validate_crcs=True, record_size_limit=self._end
                )
                for record in reader.records:
                    stored |= isinstance(record, Chunk) and record.uncompressed_crc != 0
                    stored |= isinstance(record, DataEnd) and record.data_section_crc != 0
        except Exception as error:
            log.note(f'{self._path.name}: checksums do not hold ({error or "file ends early"})')
            return
        if not stored:
            _LOG.warning('%s stores no checksums: damage may go unnoticed', self._path)


def _records(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield offset, opcode and length of the records in [start, end); the file stands behind it.

    Raises:
        _Cut: a record does not fit into the rest.
    """
    offset = start
    while offset < end:
        file.seek(offset)
        head = file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            raise _Cut(offset)
        opcode, length = _RECORD.unpack(head)
        if opcode == 0 or length > end - offset - _RECORD.size:
            raise _Cut(offset)
        yield offset, opcode, length
        offset += _RECORD.size + length


def _unpack_chunk(file: BinaryIO, offset: int, end: int) -> bytes:
    """Return the decompressed records of a chunk, its checksum held if it has one."""
    file.seek(offset)
    opcode, length = _RECORD.unpack(file.read(_RECORD.size))
    if opcode != Opcode.CHUNK or length > end - offset:
        raise ValueError('no chunk')
    chunk = Chunk.read(ReadDataStream(io.BytesIO(file.read(length))))
    if chunk.uncompressed_size > _LARGEST_CHUNK:
        raise ValueError(f'claims {chunk.uncompressed_size} bytes')
    stream, size = get_chunk_data_stream(chunk, validate_crc=True)
    if size != chunk.uncompressed_size:
        raise ValueError(f'{size} bytes instead of {chunk.uncompressed_size}')
    return stream.read(size)
