# SPDX-License-Identifier: Apache-2.0
"""Bags of all kinds are opened and read, and memory does not grow with them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from bag_items import MS, T0, by_time, infos, pictures
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from flowcam_ros.errors import SequenceError
from flowcam_ros.sequences import open_sequence


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bag_opens_by_folder_file_and_metadata(storage, make_bag):
    bag = make_bag(storage=storage, depth=True)
    data = next(p for p in bag.iterdir() if p.suffix in ('.mcap', '.db3'))
    for path in (bag, data, bag / 'metadata.yaml', str(data)):
        sequence = open_sequence(path)
        assert len(list(sequence)) == 10 and sequence.name == 'bag'
    (bag / 'metadata.yaml').unlink()
    assert len(list(open_sequence(bag))) == 10
    (bag / 'metadata.yaml').write_text('}{ damaged')
    assert len(list(open_sequence(bag))) == 10


def test_split_bags_are_read_in_order(ros, tmp_path):
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part in (0, 1, 2, 10):
        items = by_time(pictures(ros, shift=part * 10**9), infos(ros))
        ros.write(tmp_path / f'part_{part}', items)
        shutil.copy(tmp_path / f'part_{part}/part_{part}.mcap', whole)
    stamps = [frame.stamp_ns for frame in open_sequence(whole)]
    assert len(stamps) == 20 and stamps == sorted(stamps)


def test_an_empty_part_of_a_split_bag_is_a_loss(make_bag):
    bag = make_bag()
    (bag / 'metadata.yaml').unlink()
    (bag / 'bag_1.mcap').write_bytes(b'')
    sequence = open_sequence(bag)
    assert len(list(sequence)) == 10
    assert 'bag_1.mcap is empty' in sequence.losses[0]


@pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize('plugin', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_compressed_bags(mode, plugin, ros, tmp_path):
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, message, log_ns in by_time(pictures(ros), infos(ros)):
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, message.__msgtype__, typestore=ros.store
                )
            data = ros.store.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], log_ns, data)
    assert len(list(open_sequence(tmp_path / 'bag'))) == 5


def test_mcap_with_compressed_chunks(ros, tmp_path):
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        for topic, message, log_ns in (pictures(ros)[0], infos(ros)[0]):
            connection = writer.add_connection(topic, message.__msgtype__, typestore=ros.store)
            writer.write(connection, log_ns, ros.store.serialize_cdr(message, message.__msgtype__))
    assert len(list(open_sequence(tmp_path / 'bag'))) == 1


def test_two_passes_at_once_do_not_disturb_each_other(make_bag):
    for storage in ('mcap', 'sqlite3'):
        sequence = open_sequence(make_bag(storage, storage=storage))
        pairs = list(zip(sequence, sequence, strict=True))
        assert len(pairs) == 10 and all(a.stamp_ns == b.stamp_ns for a, b in pairs)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_memory_does_not_grow_with_the_length(storage, ros, tmp_path):
    """Stream 400 MB of pictures and depth within 60 MB more than the first frame took."""
    large = np.zeros((480, 640, 3), np.uint8)
    depth = np.ones((480, 640), np.uint16)
    step = 33 * MS

    def items():
        for i in range(260):
            t = T0 + i * step
            yield '/camera/image', ros.image(t, 'bgr8', large), t
            yield '/camera/depth/image', ros.image(t, '16UC1', depth), t
            yield '/camera/camera_info', ros.info(t, width=640, height=480), t

    bag = ros.write(tmp_path / 'bag', items(), storage)
    program = textwrap.dedent(f"""
        import resource
        from flowcam_ros.sequences import open_sequence
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for i, frame in enumerate(open_sequence({str(bag)!r})):
            assert frame.depth is not None
            if i == 5:
                before = peak()
        print(i + 1, peak() - before)
    """)
    output = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    ).stdout
    frames, growth = output.split()
    assert int(frames) == 260 and float(growth) < 60
    shutil.rmtree(bag)


def test_the_true_path_of_a_body_is_moved_to_the_camera(ros, make_sequence, tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer

    from flowcam_ros.sequences.bag.topic_writer import TopicWriter

    world_from_body = np.eye(4)
    world_from_body[:3, 3] = [1.0, 2.0, 3.0]
    sequence = make_sequence(3)
    for name in ('joined', 'alone'):
        with Writer(tmp_path / name, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            topics = TopicWriter(writer, compressed=False)
            topics.write_true_pose(T0, world_from_body, 'body')
            for frame in sequence:
                topics.write_frame(frame)
            if name == 'joined':
                message = ros.static_transform('body', 'cam_optical', (0.5, 0.0, 0.0))
                connection = writer.add_connection(
                    '/tf_static', message.__msgtype__, typestore=ros.store
                )
                data = ros.store.serialize_cdr(message, message.__msgtype__)
                writer.write(connection, T0, data)
    truth = open_sequence(tmp_path / 'joined').ground_truth()
    assert truth.positions.tolist() == [[1.5, 2.0, 3.0]]
    with pytest.raises(SequenceError, match='alone: /ground_truth/odom moves body'):
        open_sequence(tmp_path / 'alone').ground_truth()
