# SPDX-License-Identifier: Apache-2.0
"""Recorded bags hold what the sequence gave, and nothing is ever half-written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from flowcam_ros.errors import OutputError, UsageError
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.record import record_bag

OFFSET = np.eye(4)
OFFSET[:3, 3] = [0.025, -0.01, 0.002]


def assert_equal(frame, original, depth_error=0.0):
    assert frame.stamp_ns == original.stamp_ns and frame.frame_id == original.frame_id
    assert np.array_equal(frame.image, original.image) and frame.camera == original.camera
    assert (frame.depth is None) == (original.depth is None)
    if frame.depth is not None:
        assert np.abs(frame.depth.depth - original.depth.depth).max() <= depth_error
        assert frame.depth.camera == original.depth.camera
        assert np.allclose(frame.depth.color_from_depth, original.depth.color_from_depth)
    assert (frame.right is None) == (original.right is None)
    if frame.right is not None:
        assert np.array_equal(frame.right.image, original.right.image)
        assert frame.right.camera == original.right.camera
        assert frame.right.baseline == pytest.approx(original.right.baseline)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'grey': True},
        {'depth': True},
        {'depth': True, 'offset': OFFSET},
        {'right': True},
        {'right': True, 'depth': True},
    ],
)
def test_a_bag_gives_back_the_same_frames(storage, compressed, options, make_sequence, tmp_path):
    original = make_sequence(**options)
    summary = record_bag(original, tmp_path / 'bag', storage, compressed)
    sequence = open_sequence(tmp_path / 'bag')
    frames = list(sequence)
    assert summary.frames == len(frames) == sequence.expected_frames() == 10
    assert not sequence.losses and not summary.losses
    for frame, expected in zip(frames, original.frames, strict=True):
        assert_equal(frame, expected)
    truth = sequence.ground_truth()
    assert np.array_equal(truth.stamps_ns, original.truth.stamps_ns)
    assert np.allclose(truth.world_from_camera, original.truth.world_from_camera, atol=1e-12)


@pytest.mark.parametrize(('compressed', 'error'), [(False, 0.0), (True, 0.000501)])
def test_depth_between_millimetres(compressed, error, make_sequence, tmp_path):
    original = make_sequence(depth=True, metres=True)
    record_bag(original, tmp_path / 'bag', compressed=compressed)
    for frame, expected in zip(open_sequence(tmp_path / 'bag'), original, strict=True):
        assert_equal(frame, expected, error)


def test_rosbags_reads_the_bag_as_version_9(make_bag):
    bag = make_bag(depth=True)
    metadata = yaml.safe_load((bag / 'metadata.yaml').read_text())
    information = metadata['rosbag2_bagfile_information']
    assert information['version'] == 9 and information['storage_identifier'] == 'mcap'
    assert information['relative_file_paths'] == ['bag.mcap']
    with AnyReader([bag]) as reader:
        counts = {name: (topic.msgtype, topic.msgcount) for name, topic in reader.topics.items()}
        encodings = {
            connection.topic: reader.deserialize(raw, connection.msgtype).encoding
            for connection, _, raw in reader.messages()
            if connection.msgtype == 'sensor_msgs/msg/Image'
        }
        times = [log_ns for _, log_ns, _ in reader.messages()]
    assert counts == {
        '/camera/image': ('sensor_msgs/msg/Image', 10),
        '/camera/camera_info': ('sensor_msgs/msg/CameraInfo', 10),
        '/camera/depth/image': ('sensor_msgs/msg/Image', 10),
        '/camera/depth/camera_info': ('sensor_msgs/msg/CameraInfo', 10),
        '/ground_truth/odom': ('nav_msgs/msg/Odometry', 10),
    }
    assert encodings == {'/camera/image': 'bgr8', '/camera/depth/image': '16UC1'}
    assert times == sorted(times)


def test_the_right_camera_info_holds_the_baseline(make_bag, ros):
    with AnyReader([make_bag(right=True)]) as reader:
        connections = [c for c in reader.connections if c.topic == '/camera/right/camera_info']
        info = reader.deserialize(next(reader.messages(connections))[2], connections[0].msgtype)
    assert info.p[3] == pytest.approx(-50.5 * 0.12)


def test_an_existing_output_is_left_alone(make_sequence, tmp_path):
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag/mine.txt').write_text('mine')
    (tmp_path / 'file').write_text('mine')
    for name in ('bag', 'file'):
        with pytest.raises(OutputError, match='exists already'):
            record_bag(make_sequence(), tmp_path / name)
    assert (tmp_path / 'bag/mine.txt').read_text() == 'mine'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bag', 'file']


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('failure', [ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_the_input_fails(storage, failure, make_sequence, tmp_path):
    class Failing:
        name, losses = 'failing', ()

        def __iter__(self):
            yield from make_sequence()
            raise failure

        def ground_truth(self):
            return None

    with pytest.raises(failure):
        record_bag(Failing(), tmp_path / 'bag', storage)
    assert not list(tmp_path.iterdir())


def test_an_unknown_storage_is_refused(make_sequence, tmp_path):
    with pytest.raises(UsageError, match='mcap, sqlite3'):
        record_bag(make_sequence(), tmp_path / 'bag', 'zip')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_read_only_folder_is_an_output_error(make_sequence, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match='cannot be written'):
            record_bag(make_sequence(), tmp_path / 'bag')
    finally:
        tmp_path.chmod(0o700)


def test_a_parent_that_is_a_file_is_an_output_error(make_sequence, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot be written'):
        record_bag(make_sequence(), tmp_path / 'file/bag')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_full_disk_is_an_output_error(storage, make_sequence, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(OutputError, match='cannot be written'):
            record_bag(make_sequence(), tmp_path / 'bag', storage)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing_behind(make_folder, tmp_path):
    folder = make_folder(count=5)
    program = textwrap.dedent(f"""
        import itertools, time
        from flowcam_ros.sequences import open_sequence
        from flowcam_ros.sequences.record import record_bag

        def slow(count):
            print(count, flush=True)
            time.sleep(0.5)

        record_bag(open_sequence({str(folder)!r}), {str(tmp_path / 'bag')!r}, progress=slow)
    """)
    with subprocess.Popen(
        [sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout.readline().strip() == b'1'
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) != 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ['folder']
