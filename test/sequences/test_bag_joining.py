# SPDX-License-Identifier: Apache-2.0
"""How the messages of a bag are joined: pairs, depth, transforms, and stamps."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from bag_items import MILLIMETRES, MS, T0, by_time, infos, pictures

from flowcam_ros.errors import SequenceError
from flowcam_ros.sequences import SequenceOptions, open_sequence


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
