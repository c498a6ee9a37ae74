# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are read, and with which calibration."""

from __future__ import annotations

import numpy as np
import pytest
from bag_items import MILLIMETRES, MS, T0, by_time, infos, pictures

from flowcam_ros.errors import CameraError, UsageError
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.sequences.topic_names import is_rectified


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
