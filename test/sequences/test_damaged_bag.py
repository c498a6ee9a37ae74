# SPDX-License-Identifier: Apache-2.0
"""Damaged bags: what is whole is read, what is lost is said, and only our errors come out."""

from __future__ import annotations

import io
import random
import re
import shutil

import numpy as np
import pytest
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import Reader

from flowcam_ros.errors import FlowcamError, SequenceError, UsageError
from flowcam_ros.sequences import SequenceOptions, open_sequence

COUNT = 60


@pytest.fixture(scope='module')
def plain(make_sequence, tmp_path_factory):
    """Return a bag of small pictures and depth in both storages."""
    from flowcam_ros.sequences.record import record_bag

    folder = tmp_path_factory.mktemp('plain')
    for storage in ('mcap', 'sqlite3'):
        record_bag(make_sequence(COUNT, depth=True), folder / storage, storage)
    return folder


@pytest.fixture(scope='module')
def chunked(plain):
    """Return the bytes of an mcap with many compressed chunks and all checksums."""
    return rewritten(plain, chunk_size=40_000, compression=CompressionType.ZSTD)


def rewritten(plain, **options):
    stream = io.BytesIO()
    writer = McapWriter(stream, **options)
    writer.start(profile='ros2', library='test')
    channels = {}
    with Reader(plain / 'mcap') as reader:
        for connection, log_ns, data in reader.messages():
            if connection.topic not in channels:
                schema = writer.register_schema(
                    connection.msgtype, 'ros2msg', connection.msgdef.data.encode()
                )
                channels[connection.topic] = writer.register_channel(
                    connection.topic, 'cdr', schema
                )
            writer.add_message(channels[connection.topic], log_ns, bytes(data), log_ns)
    writer.finish()
    return stream.getvalue()


def attempt(path, **options):
    """Return number of frames and losses, or the error; anything else than ours escapes."""
    try:
        sequence = open_sequence(path, SequenceOptions(**options))
        frames = list(sequence)
        sequence.ground_truth()
    except FlowcamError as error:
        assert '\n' not in str(error) and str(path.name) in str(error)
        return None, str(error)
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(set(stamps)) and frames
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert frame.depth is None or np.isfinite(frame.depth.depth).all()
    return len(frames), sequence.losses


def test_the_rewritten_file_is_whole(chunked, tmp_path):
    path = tmp_path / 'whole.mcap'
    path.write_bytes(chunked)
    assert attempt(path, strict=True) == (COUNT, [])


@pytest.mark.parametrize('seed', range(50))
def test_a_truncated_mcap_gives_its_whole_chunks(seed, chunked, tmp_path):
    cut = random.Random(seed).randrange(len(chunked))
    path = tmp_path / 'cut.mcap'
    path.write_bytes(chunked[:cut])
    frames, losses = attempt(path)
    if frames is None:
        assert cut < 0.1 * len(chunked)
        return
    data_end = chunked.rindex(b'ros2msg', 0, -200)
    assert frames >= COUNT * cut / max(data_end, cut) - 8
    if cut < 0.9 * len(chunked):
        match = re.search(
            r'cut.mcap: (\d+) of ~(\d+) messages, truncated at byte (\d+)', losses[0]
        )
        read, likely, offset = map(int, match.groups())
        assert 0 < read <= likely and 0 < offset <= cut
        assert frames <= read <= 5 * COUNT


def test_metadata_tells_how_many_messages_there_were(plain, tmp_path):
    shutil.copytree(plain / 'mcap', tmp_path / 'mcap')
    path = tmp_path / 'mcap/mcap.mcap'
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    frames, losses = attempt(tmp_path / 'mcap')
    if frames is not None:
        assert f'of ~{5 * COUNT} messages, truncated at byte' in losses[0]


def test_a_cut_chunk_gives_its_whole_messages(plain, tmp_path):
    content = (plain / 'mcap/mcap.mcap').read_bytes()
    path = tmp_path / 'cut.mcap'
    for share in (0.2, 0.5, 0.8):
        path.write_bytes(content[: int(len(content) * share)])
        frames, losses = attempt(path)
        assert frames >= COUNT * share - 4
        read, likely = map(int, re.search(r'(\d+) of ~(\d+) messages', losses[0]).groups())
        assert abs(read - 5 * COUNT * share) < 20 and read <= likely < read + 10


@pytest.mark.parametrize('seed', range(25))
def test_an_unchunked_mcap_is_read_up_to_the_cut(seed, plain, tmp_path):
    content = rewritten(plain, use_chunking=False)
    path = tmp_path / 'cut.mcap'
    path.write_bytes(content)
    assert attempt(path) == (COUNT, [])
    path.write_bytes(content[: random.Random(seed).randrange(len(content) // 10, len(content))])
    frames, losses = attempt(path)
    assert frames >= 4 and (losses or frames == COUNT)


def test_an_index_spares_reading_what_is_not_wanted(chunked, tmp_path, monkeypatch):
    from flowcam_ros.sequences.bag import mcap_file

    path = tmp_path / 'whole.mcap'
    path.write_bytes(chunked)
    sequence = open_sequence(path)
    unpacked = []
    unpack = mcap_file._unpack_chunk
    monkeypatch.setattr(mcap_file, '_unpack_chunk', lambda *a: unpacked.append(a[1]) or unpack(*a))
    next(iter(sequence))
    assert len(set(unpacked)) <= 2


@pytest.mark.parametrize('seed', range(50))
def test_a_flipped_byte_costs_at_most_its_chunk(seed, chunked, tmp_path):
    damaged = bytearray(chunked)
    at = random.Random(seed).randrange(len(damaged))
    damaged[at] ^= 1 << (seed % 8)
    path = tmp_path / 'flipped.mcap'
    path.write_bytes(damaged)
    for strict in (False, True):
        frames, _ = attempt(path, strict=strict)
        assert (frames or 0) >= COUNT - 6 or at < 100


@pytest.mark.parametrize('seed', range(30))
def test_many_flipped_bytes_bring_no_other_error(seed, chunked, tmp_path):
    damaged, generator = bytearray(chunked), random.Random(seed)
    for _ in range(40):
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    path = tmp_path / 'flipped.mcap'
    path.write_bytes(damaged)
    attempt(path)


def test_damage_is_counted(chunked, tmp_path):
    damaged = bytearray(chunked)
    for share in (0.3, 0.6):
        damaged[int(len(damaged) * share)] ^= 0xFF
    path = tmp_path / 'flipped.mcap'
    path.write_bytes(damaged)
    sequence = open_sequence(path)
    for _ in range(2):
        assert COUNT - 12 <= len(list(sequence)) < COUNT
        assert len(sequence.losses) == 1
        assert sequence.losses[0].startswith(
            '2 chunks are damaged, their messages are lost (first'
        )


def test_strict_checks_the_checksum_of_the_whole_file(plain, tmp_path):
    content = bytearray(rewritten(plain, use_chunking=False, enable_data_crcs=True))
    path = tmp_path / 'flipped.mcap'
    path.write_bytes(content)
    assert attempt(path, strict=True) == (COUNT, [])
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert attempt(path) == (COUNT, []), 'a flipped bit of a pixel harms no record'
    assert 'flipped.mcap: checksums do not hold' in attempt(path, strict=True)[1][0]


def test_strict_says_when_there_is_no_checksum(plain, caplog):
    assert attempt(plain / 'mcap', strict=True) == (COUNT, [])
    assert 'stores no checksums' in caplog.text


@pytest.mark.parametrize('seed', range(30))
def test_flipped_bytes_without_checksums_bring_no_other_error(seed, plain, tmp_path):
    damaged, generator = bytearray((plain / 'mcap/mcap.mcap').read_bytes()), random.Random(seed)
    for _ in range(200):
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    path = tmp_path / 'flipped.mcap'
    path.write_bytes(damaged)
    attempt(path)


@pytest.mark.parametrize('seed', range(50))
def test_a_truncated_sqlite_names_the_way_to_recover(seed, plain, tmp_path):
    content = (plain / 'sqlite3/sqlite3.db3').read_bytes()
    cut = random.Random(seed).randrange(1, len(content))
    path = tmp_path / 'cut.db3'
    path.write_bytes(content[:cut])
    frames, message = attempt(path)
    assert frames is None
    assert 'sqlite3 cut.db3 .recover | sqlite3 cut_recovered.db3' in message


@pytest.mark.parametrize('seed', range(30))
def test_flipped_bytes_in_sqlite_bring_no_other_error(seed, plain, tmp_path):
    damaged = bytearray((plain / 'sqlite3/sqlite3.db3').read_bytes())
    generator = random.Random(seed)
    for _ in range(60):
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    path = tmp_path / 'flipped.db3'
    path.write_bytes(damaged)
    attempt(path)
    attempt(path, strict=True)


@pytest.mark.parametrize('name', ['empty.mcap', 'empty.db3'])
def test_an_empty_file_is_an_error(name, tmp_path):
    (tmp_path / name).write_bytes(b'')
    with pytest.raises(SequenceError, match='is empty: nothing was recorded'):
        open_sequence(tmp_path / name)


@pytest.mark.parametrize('name', ['text.mcap', 'text.db3'])
def test_another_kind_of_file_is_an_error(name, tmp_path):
    (tmp_path / name).write_text('hello, this is no bag\n' * 100)
    with pytest.raises(SequenceError, match=name):
        open_sequence(tmp_path / name)


def test_wrong_folders_and_files(tmp_path):
    with pytest.raises(UsageError, match='does not exist'):
        open_sequence(tmp_path / 'nowhere')
    with pytest.raises(UsageError, match='none of the folders that can be read'):
        open_sequence(tmp_path)
    (tmp_path / 'metadata.yaml').write_text('a: 1')
    with pytest.raises(UsageError, match=r'no \.mcap or \.db3 file in it'):
        open_sequence(tmp_path)
    (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0\n')
    with pytest.raises(UsageError, match='rosbags-convert'):
        open_sequence(tmp_path / 'old.bag')
    (tmp_path / 'empty.mp4').write_bytes(b'')
    with pytest.raises(SequenceError, match='is empty'):
        open_sequence(tmp_path / 'empty.mp4')
    with pytest.raises(UsageError, match='time difference of'):
        open_sequence(tmp_path, SequenceOptions(max_time_difference_s=float('nan')))
