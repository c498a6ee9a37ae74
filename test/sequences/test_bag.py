# SPDX-License-Identifier: Apache-2.0
"""Bags: which topics are read, how messages are joined, and how much memory it takes."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.sequences.topic_names import is_rectified

MS = 1_000_000
T0 = 1_700_000_000 * 10**9
MILLIMETRES = np.full((48, 64), 1500, np.uint16)


def pictures(ros, topic='/camera/image', count=5, step=33 * MS, shift=0, **options):
    """Return items for a topic of pictures."""
    stamps = [T0 + i * step + shift for i in range(count)]
    return [(topic, ros.image(t, **options), t) for t in stamps]


def infos(ros, topic='/camera/camera_info', count=5, step=33 * MS, **options):
    stamps = [T0 + i * step for i in range(count)]
    return [(topic, ros.info(t, **options), t) for t in stamps]


def by_time(*lists):
    return sorted((item for items in lists for item in items), key=lambda item: item[2])


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


def test_several_image_topics_are_listed(ros, tmp_path):
    items = by_time(
        pictures(ros),
        pictures(ros, '/rear/image', count=3),
        infos(ros),
        infos(ros, '/rear/camera_info'),
    )
    bag = ros.write(tmp_path / 'bag', items)
    with pytest.raises(UsageError) as error:
        open_sequence(bag)
    for text in (
        '/camera/image (sensor_msgs/msg/Image, 5 messages)',
        '--image-topic',
        '/rear/image (sensor_msgs/msg/Image, 3 messages)',
    ):
        assert text in str(error.value)
    options = SequenceOptions(image_topic='/rear/image')
    assert len(list(open_sequence(bag, options))) == 3


def test_a_misspelt_topic_lists_the_candidates(make_bag):
    bag = make_bag(depth=True)
    for field in ('image_topic', 'depth_topic', 'right_topic', 'camera_info_topic'):
        with pytest.raises(UsageError, match='/cam/x is not in the bag; candidates for --'):
            open_sequence(bag, SequenceOptions(**{field: '/cam/x'}))
    with pytest.raises(UsageError, match='has no messages of sensor_msgs/msg/CameraInfo'):
        open_sequence(bag, SequenceOptions(camera_info_topic='/camera/image'))


def test_a_bag_without_pictures_says_what_is_there(ros, tmp_path):
    bag = ros.write(tmp_path / 'bag', infos(ros))
    with pytest.raises(
        UsageError, match='no image topic in the bag; there is /camera/camera_info'
    ):
        open_sequence(bag)


def test_depth_is_not_taken_for_a_picture(ros, tmp_path):
    depth = pictures(ros, '/d', encoding='16UC1', pixels=MILLIMETRES)
    bag = ros.write(tmp_path / 'bag', by_time(depth, infos(ros)))
    with pytest.raises(UsageError, match=r'no image topic in the bag; there is /d '):
        open_sequence(bag)
    items = by_time(pictures(ros), depth, infos(ros))
    frame = next(iter(open_sequence(ros.write(tmp_path / 'both', items))))
    assert np.all(frame.depth.depth == 1.5) and frame.depth.camera == frame.camera


def test_several_depth_topics_are_listed(ros, tmp_path):
    depth = {'encoding': '16UC1', 'pixels': MILLIMETRES}
    items = by_time(
        pictures(ros),
        infos(ros),
        pictures(ros, '/a/depth', **depth),
        pictures(ros, '/b/depth', **depth),
    )
    bag = ros.write(tmp_path / 'bag', items)
    with pytest.raises(UsageError, match=r'several depth topics: /a/depth.*/b/depth.*none'):
        open_sequence(bag)
    assert next(iter(open_sequence(bag, SequenceOptions(depth_topic='none')))).depth is None
    assert next(iter(open_sequence(bag, SequenceOptions(depth_topic='/b/depth')))).depth


def test_the_raw_transport_wins(make_bag, ros, tmp_path):
    compressed = ros.store.types['sensor_msgs/msg/CompressedImage']
    items = pictures(ros)
    both = [
        (f'{topic}/compressed', compressed(m.header, 'jpeg', m.data), t) for topic, m, t in items
    ]
    bag = ros.write(tmp_path / 'bag', by_time(items, both, infos(ros)))
    assert len(list(open_sequence(bag))) == 5, 'the compressed one is no JPEG at all'


def test_missing_camera_info_names_topic_and_option(ros, tmp_path, calibration_file):
    bag = ros.write(tmp_path / 'bag', pictures(ros))
    with pytest.raises(UsageError, match=r'no camera_info for /camera/image.*--camera FILE'):
        open_sequence(bag)
    frame = next(iter(open_sequence(bag, SequenceOptions(camera=calibration_file))))
    assert frame.camera.fx == 50.5


def test_the_only_camera_info_will_do(ros, tmp_path):
    bag = ros.write(tmp_path / 'bag', by_time(pictures(ros), infos(ros, '/calibration')))
    assert next(iter(open_sequence(bag))).camera.fx == 50.0


def test_camera_info_may_come_late_and_once(ros, tmp_path):
    late = [('/camera/camera_info', ros.info(T0), T0 + 10**9)]
    bag = ros.write(tmp_path / 'bag', by_time(pictures(ros), late))
    assert [frame.camera.fx for frame in open_sequence(bag)] == [50.0] * 5


def test_camera_info_may_change(ros, tmp_path):
    zoomed = infos(ros, count=1, k=[80.0, 0, 31.5, 0, 80.0, 23.5, 0, 0, 1])
    moved = [(topic, message, t + 50 * MS) for topic, message, t in zoomed]
    depth = pictures(ros, '/camera/depth', encoding='16UC1', pixels=MILLIMETRES)
    bag = ros.write(tmp_path / 'bag', by_time(infos(ros, count=1), moved, pictures(ros), depth))
    frames = list(open_sequence(bag))
    expected = [50.0, 50.0, 80.0, 80.0, 80.0]
    assert [frame.camera.fx for frame in frames] == expected
    assert [frame.depth.camera.fx for frame in frames] == expected


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'k': [0.0] * 9}, '/camera/camera_info: the camera is not calibrated'),
        ({'width': 100}, '/camera/camera_info: calibrated for 100x48'),
        ({'distortion_model': 'fov'}, '/camera/camera_info: .*not supported'),
    ],
)
def test_unusable_camera_info_names_the_topic(change, message, ros, tmp_path):
    bag = ros.write(tmp_path / 'bag', by_time(pictures(ros), infos(ros, **change)))
    with pytest.raises(CameraError, match=message):
        list(open_sequence(bag))


def test_a_rectified_picture_has_the_intrinsics_of_p(ros, tmp_path):
    bag = ros.write(tmp_path / 'bag', by_time(pictures(ros, '/camera/image_rect'), infos(ros)))
    camera = next(iter(open_sequence(bag))).camera
    assert camera.fx == 49.0 and not camera.is_distorted


@pytest.mark.parametrize(
    ('name', 'rectified'),
    [
        ('/a/image_rect', True),
        ('/a/image_rect_color/compressed', True),
        ('/a/image_rectified', True),
        ('/rect/image_raw', False),
        ('/a/image_direct', False),
    ],
)
def test_names_of_rectified_topics(name, rectified):
    assert is_rectified(name) == rectified


def test_a_right_picture_needs_a_baseline(ros, tmp_path):
    items = by_time(
        pictures(ros, '/a/left'), pictures(ros, '/b/right'), infos(ros, '/a/camera_info')
    )
    bag = ros.write(tmp_path / 'bag', items)
    options = SequenceOptions(image_topic='/a/left', right_topic='/b/right')
    with pytest.raises(CameraError, match='/b/right has no camera_info, so the baseline'):
        list(open_sequence(bag, options))


def stereo(ros, name, **info):
    left = {'p': [49.0, 0, 31.0, 0, 0, 49.0, 23.0, 0, 0, 0, 1.0, 0], **info}
    return by_time(
        pictures(ros, f'/left/{name}'),
        pictures(ros, f'/right/{name}', shift=2 * MS),
        infos(ros, '/left/camera_info', **left),
        infos(ros, '/right/camera_info', **info),
    )


def test_a_rectified_pair_is_found_by_its_names(ros, tmp_path):
    sequence = open_sequence(ros.write(tmp_path / 'bag', stereo(ros, 'image_rect')))
    frames = list(sequence)
    assert len(frames) == 5 and frames[0].right.baseline == pytest.approx(0.1)
    assert frames[0].camera.fx == frames[0].right.camera.fx == 49.0


def test_an_unrectified_pair_is_left_out_with_a_warning(ros, tmp_path, caplog):
    bag = ros.write(tmp_path / 'bag', stereo(ros, 'image_raw'))
    with caplog.at_level(logging.WARNING):
        frame = next(iter(open_sequence(bag)))
    assert frame.right is None and '/right/image_raw is not used' in caplog.text
    plain = ros.write(tmp_path / 'undistorted', stereo(ros, 'image_raw', d=[0.0] * 5))
    assert next(iter(open_sequence(plain))).right is not None
    assert next(iter(open_sequence(plain, SequenceOptions(right_topic='none')))).right is None


def test_depth_is_paired_by_nearest_header_stamp(ros, tmp_path):
    depth = {'encoding': '16UC1', 'pixels': MILLIMETRES}
    near = pictures(ros, '/camera/depth', shift=15 * MS, **depth)
    bag = ros.write(tmp_path / 'near', by_time(pictures(ros), infos(ros), near))
    assert all(frame.depth is not None for frame in open_sequence(bag))
    far = SequenceOptions(max_time_difference_s=0.01)
    sequence = open_sequence(bag, far)
    assert all(frame.depth is None for frame in sequence)
    assert '5 of 5 pictures have no depth image within 0.01 s' in sequence.losses[-1]


def test_slower_depth_leaves_pictures_without_and_says_so(ros, tmp_path):
    depth = pictures(
        ros, '/camera/depth', count=2, step=66 * MS, encoding='16UC1', pixels=MILLIMETRES
    )
    sequence = open_sequence(ros.write(tmp_path / 'b', by_time(pictures(ros), infos(ros), depth)))
    frames = list(sequence)
    assert [f.depth is not None for f in frames] == [True, False, True, False, False]
    assert '3 of 5 pictures' in sequence.losses[0]


def test_depth_of_another_place_is_joined_by_tf_static(ros, tmp_path, caplog):
    depth = pictures(ros, '/camera/depth', encoding='16UC1', pixels=MILLIMETRES, frame_id='/ir')
    tree = [
        (
            '/tf_static',
            ros.static_transform(
                'base', 'cam_optical', (1.0, 0.0, 0.0), (0.0, 0.0, 0.70710678, 0.70710678)
            ),
            T0 - 5,
        ),
        ('/tf_static', ros.static_transform('base', 'ir_mount', (1.0, 0.5, 0.0)), T0 - 4),
        ('/tf_static', ros.static_transform('ir_mount', 'ir', (0.0, 0.0, 0.25)), T0 - 3),
    ]
    items = by_time(pictures(ros), infos(ros), depth, tree)
    frame = next(iter(open_sequence(ros.write(tmp_path / 'bag', items))))
    assert np.allclose(frame.depth.color_from_depth[:3, 3], [0.5, 0.0, 0.25])
    with caplog.at_level(logging.WARNING):
        bag = ros.write(tmp_path / 'alone', by_time(pictures(ros), infos(ros), depth))
        frame = next(iter(open_sequence(bag)))
    assert np.array_equal(frame.depth.color_from_depth, np.eye(4))
    assert 'no transform from /ir to cam_optical' in caplog.text


def test_a_circular_tf_tree_is_survived(ros, tmp_path):
    depth = pictures(ros, '/camera/depth', encoding='16UC1', pixels=MILLIMETRES, frame_id='a')
    tree = [
        ('/tf_static', ros.static_transform('a', 'b', (1.0, 0, 0)), T0),
        ('/tf_static', ros.static_transform('b', 'a', (1.0, 0, 0)), T0),
    ]
    items = by_time(pictures(ros), infos(ros), depth, tree)
    assert len(list(open_sequence(ros.write(tmp_path / 'bag', items)))) == 5


def stamped(ros, stamps, tmp_path, name='bag'):
    """Return the stamps that come out of a bag with these header stamps, and the losses."""
    items = [('/camera/image', ros.image(s), T0 + i * 33 * MS) for i, s in enumerate(stamps)]
    sequence = open_sequence(ros.write(tmp_path / name, by_time(items, infos(ros))))
    return [frame.stamp_ns for frame in sequence], sequence.losses


def test_stamps_that_do_not_increase_are_left_out(ros, tmp_path):
    stamps = [T0, T0, T0 + 5, T0 + 3, T0 + 9]
    kept, losses = stamped(ros, stamps, tmp_path)
    assert kept == [T0, T0 + 5, T0 + 9]
    assert '2 messages on /camera/image have no usable stamp' in losses[0]


def test_a_single_wild_stamp_does_not_silence_the_rest(ros, tmp_path):
    wild = T0 + 10**9 * 10**6
    kept, losses = stamped(ros, [T0, wild, T0 + 1, T0 + 2], tmp_path)
    assert kept == [T0, T0 + 1, T0 + 2] and 'jumps to' in losses[0]


def test_a_clock_that_was_set_forward_is_believed(ros, tmp_path):
    later = T0 + 3600 * 10**9
    kept, _ = stamped(ros, [T0, later, later + 5, later + 9], tmp_path)
    assert kept == [T0, later + 5, later + 9]


def test_unset_stamps_are_refused(ros, tmp_path):
    with pytest.raises(SequenceError, match=r'no usable picture on /camera/image.*stamp is zero'):
        stamped(ros, [0, 0, 0], tmp_path)


def test_undecodable_messages_are_counted_and_skipped(ros, tmp_path):
    items = pictures(ros)
    short = ros.image(T0 + 33 * MS)
    short.step = 1000
    odd = ros.image(T0 + 66 * MS, encoding='nv21')
    raw = ros.store.serialize_cdr(items[3][1], 'sensor_msgs/msg/Image')
    items[1] = ('/camera/image', short, items[1][2])
    items[2] = ('/camera/image', odd, items[2][2])
    items[3] = (*items[3], bytes(raw)[:60])
    sequence = open_sequence(ros.write(tmp_path / 'bag', by_time(items, infos(ros))))
    for _ in range(2):
        assert len(list(sequence)) == 2
        text = '; '.join(sequence.losses)
        assert '2 pictures on /camera/image could not be decoded' in text
        assert '1 messages on /camera/image are damaged' in text


def test_pictures_that_change_size_are_counted(ros, tmp_path):
    items = pictures(ros)
    other = ros.image(items[2][2], pixels=np.zeros((50, 64), np.uint8))
    items[2] = ('/camera/image', other, items[2][2])
    sequence = open_sequence(ros.write(tmp_path / 'bag', by_time(items, infos(ros))))
    assert len(list(sequence)) == 4
    assert '1 pictures on /camera/image do not fit the camera' in sequence.losses[0]


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
