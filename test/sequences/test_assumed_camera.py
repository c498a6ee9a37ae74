# SPDX-License-Identifier: Apache-2.0
"""Recordings without any calibration are read where that is asked for, and only there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowcam_ros.errors import UsageError
from flowcam_ros.geometry.usual_camera import usual_camera
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.sequences.record import record_bag

ASSUMED = SequenceOptions(assume_camera=True)
USUAL = usual_camera(64, 48)


def test_the_usual_camera_looks_straight_and_has_an_ordinary_angle_of_view() -> None:
    camera = usual_camera(640, 480)
    assert (camera.cx, camera.cy) == (319.5, 239.5)
    assert camera.fx == camera.fy and not camera.is_distorted
    assert 50 < np.degrees(2 * np.arctan(320 / camera.fx)) < 75


@pytest.mark.parametrize('calibration', ['none', 'its own', 'broken'])
def test_a_folder_is_read_whatever_its_calibration(make_folder, calibration):
    folder = make_folder(depth=True)
    if calibration == 'none':
        (folder / 'calibration.yaml').unlink()
    if calibration == 'broken':
        (folder / 'calibration.yaml').write_text('fx: [')
    frames = list(open_sequence(folder, ASSUMED))
    assert len(frames) == 5
    assert all(f.camera == USUAL and f.depth is None for f in frames)


def test_a_tum_folder_without_calibration(make_folder):
    folder = make_folder(depth=True)
    for name in ('times.txt', 'calibration.yaml'):
        (folder / name).unlink()
    (folder / 'rgb.txt').write_text(''.join(f'{k} rgb/{k}.png\n' for k in range(5)))
    (folder / 'depth.txt').write_text(''.join(f'{k} depth/{k}.png\n' for k in range(5)))
    with pytest.raises(UsageError, match='no calibration'):
        open_sequence(folder)
    sequence = open_sequence(folder, ASSUMED)
    frames = list(sequence)
    assert len(frames) == 5 and not sequence.losses
    assert all(f.camera == USUAL and f.depth is None for f in frames)


def test_a_video_without_calibration(tmp_path):
    path = tmp_path / 'ride.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 25.0, (64, 48))
    for k in range(4):
        writer.write(np.full((48, 64, 3), 50 * k, np.uint8))
    writer.release()
    with pytest.raises(UsageError, match='a video has no intrinsics'):
        open_sequence(path)
    frames = list(open_sequence(path, ASSUMED))
    assert len(frames) == 4
    assert all(f.camera == USUAL for f in frames)


def test_a_bag_without_camera_info(ros, tmp_path):
    stamps = [1_700_000_000_000_000_000 + k * 33_000_000 for k in range(5)]
    bag = ros.write(tmp_path / 'bag', [('/camera/image', ros.image(t), t) for t in stamps])
    with pytest.raises(UsageError, match='no camera_info'):
        open_sequence(bag)
    frames = list(open_sequence(bag, ASSUMED))
    assert len(frames) == 5
    assert all(f.camera == USUAL and f.depth is None for f in frames)


def test_a_bag_is_read_without_its_calibration_depth_and_right_picture(make_sequence, tmp_path):
    for kind in ('depth', 'right'):
        bag = record_bag(make_sequence(4, **{kind: True}), tmp_path / kind, 'mcap', False).path
        frames = list(open_sequence(bag, ASSUMED))
        assert len(frames) == 4
        assert all(f.camera == USUAL and not f.depth and not f.right for f in frames)


def test_the_synthetic_world_does_not_tell_its_camera():
    world = 'synthetic:walk?frames=2&width=64&height=48&depth=true'
    sequence = open_sequence(world, ASSUMED)
    frames = list(sequence)
    assert len(frames) == sequence.expected_frames() == 2
    assert all(f.camera == USUAL and f.depth is None for f in frames)
    assert sequence.ground_truth() is not None


@pytest.mark.parametrize('name', ['camera', 'camera_info_topic', 'depth_topic', 'right_topic'])
def test_what_needs_a_calibration_is_refused_beside_it(make_bag, tmp_path, name):
    value = tmp_path / 'camera.yaml' if name == 'camera' else '/somewhere'
    flag = '--' + name.replace('_', '-')
    with pytest.raises(UsageError, match=f'{flag} needs a calibration'):
        open_sequence(make_bag(), SequenceOptions(assume_camera=True, **{name: value}))


def test_no_depth_and_no_stereo_may_be_asked_for(make_bag):
    options = SequenceOptions(assume_camera=True, depth_topic='none', right_topic='none')
    assert len(list(open_sequence(make_bag(), options))) == 10
