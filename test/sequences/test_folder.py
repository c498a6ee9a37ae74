# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures: times.txt and TUM RGB-D."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.sequences import SequenceOptions, open_sequence


@pytest.fixture
def tum_folder(make_folder):
    """Return a TUM RGB-D folder: depth 5 ms late, the third depth image missing."""
    folder = make_folder('tum', depth=True)
    (folder / 'times.txt').unlink()
    calibration = (folder / 'calibration.yaml').read_text()
    (folder / 'calibration.yaml').write_text(
        calibration.replace('depth_scale_units_per_m: 1000', '')
    )
    stamps = [i * 0.1 for i in range(5)]
    (folder / 'rgb.txt').write_text(
        '# color images\n' + ''.join(f'{t:.6f} rgb/{i}.png\n' for i, t in enumerate(stamps))
    )
    (folder / 'depth.txt').write_text(
        ''.join(f'{t + 0.005:.6f} depth/{i}.png\n' for i, t in enumerate(stamps) if i != 2)
    )
    (folder / 'groundtruth.txt').write_text('0 0 0 0 0 0 0 1\n0.2 1 0 0 0 0 0 1\n')
    return folder


def test_a_folder_gives_its_frames(make_folder, make_frames):
    folder = make_folder(depth=True)
    (folder / 'groundtruth.tum').write_text('0 0 0 0 0 0 0 1\n0.2 1 0 0 0 0 0 1\n')
    sequence = open_sequence(folder)
    frames, made = list(sequence), make_frames(5, depth=True)
    assert sequence.name == 'folder' and sequence.expected_frames() == 5 and not sequence.losses
    assert [f.stamp_ns for f in frames] == [i * 10**8 + 1 for i in range(5)]
    assert [f.name for f in frames] == [f'{i}.png' for i in range(5)]
    for frame, original in zip(frames, made, strict=True):
        assert np.array_equal(frame.image, original.image)
        assert frame.camera == original.camera == frame.depth.camera
        known = np.where(original.depth.depth == np.float32(4.999), 0, original.depth.depth)
        assert np.array_equal(frame.depth.depth, known)
    assert len(sequence.ground_truth()) == 2
    assert len(list(sequence)) == 5, 'it can be read again'


def test_without_a_path_there_is_no_ground_truth(make_folder):
    assert open_sequence(make_folder()).ground_truth() is None


def test_a_mask_and_a_calibration_of_the_user_are_taken(make_folder, tmp_path):
    folder = make_folder()
    text = (folder / 'calibration.yaml').read_text()
    (folder / 'calibration.yaml').unlink()
    camera = tmp_path / 'mine.yaml'
    camera.write_text(text.replace('fx: 50.5', 'fx: 55.0'))
    mask = np.full((48, 64), 255, np.uint8)
    mask[40:] = 0
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    options = SequenceOptions(camera=camera, mask=tmp_path / 'mask.png')
    frame = next(iter(open_sequence(folder, options)))
    assert frame.camera.fx == 55.0 and np.array_equal(frame.mask, mask > 0)


def test_a_mask_of_another_size_is_refused(make_folder, tmp_path):
    cv2.imwrite(str(tmp_path / 'mask.png'), np.zeros((20, 20), np.uint8))
    with pytest.raises(UsageError, match='20x20 pixels, the picture 64x48'):
        list(open_sequence(make_folder(), SequenceOptions(mask=tmp_path / 'mask.png')))
    with pytest.raises(UsageError, match=r'mask .*nowhere\.png: cannot be read'):
        open_sequence(make_folder('other'), SequenceOptions(mask=tmp_path / 'nowhere.png'))


def test_a_missing_calibration_says_what_to_write(make_folder):
    folder = make_folder()
    (folder / 'calibration.yaml').unlink()
    with pytest.raises(UsageError, match=r'fx, fy, cx, cy, width, height.*--camera FILE'):
        open_sequence(folder)


def test_depth_without_a_scale_is_refused(make_folder):
    folder = make_folder(depth=True)
    text = (folder / 'calibration.yaml').read_text()
    (folder / 'calibration.yaml').write_text(text.replace('depth_scale_units_per_m: 1000\n', ''))
    with pytest.raises(CameraError, match='depth_scale_units_per_m'):
        open_sequence(folder)


def test_pictures_twice_as_large_scale_the_intrinsics(make_folder):
    folder = make_folder(count=1)
    picture = cv2.imread(str(folder / 'rgb/0.png'))
    cv2.imwrite(str(folder / 'rgb/0.png'), cv2.resize(picture, (128, 96)))
    assert next(iter(open_sequence(folder))).camera.fx == 101.0
    cv2.imwrite(str(folder / 'rgb/0.png'), cv2.resize(picture, (100, 96)))
    with pytest.raises(CameraError, match=r'rgb/0.png.*64x48 pixels, but the image has 100x96'):
        list(open_sequence(folder))


def test_unreadable_files_are_counted_and_skipped(make_folder):
    folder = make_folder(depth=True)
    (folder / 'rgb/1.png').write_bytes(b'')
    (folder / 'rgb/3.png').unlink()
    (folder / 'depth/2.png').write_bytes((folder / 'depth/2.png').read_bytes()[:200])
    sequence = open_sequence(folder)
    for _ in range(2):
        frames = list(sequence)
        assert [f.stamp_ns // 10**8 for f in frames] == [0, 2, 4]
        assert [f.depth is None for f in frames] == [False, True, False]
        assert len(sequence.losses) == 2
        assert '2 pictures could not be read' in ' '.join(sequence.losses)
        assert '1 depth images could not be used' in ' '.join(sequence.losses)


def test_a_folder_without_any_readable_picture_is_an_error(make_folder):
    folder = make_folder()
    for file in (folder / 'rgb').iterdir():
        file.unlink()
    with pytest.raises(SequenceError, match=r'no picture can be read; 5 pictures .*rgb/0\.png'):
        list(open_sequence(folder))


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('', 'no picture in it'),
        ('0.0', 'line 1: 1 columns'),
        ('0.0 a b c', 'line 1: 4 columns'),
        ('now rgb/0.png', "line 1: 'now' is not a time"),
        ('0.0 ../secret.png', 'line 1: .*not inside the folder'),
        ('0.0 /etc/passwd', 'line 1: .*not inside the folder'),
        ('0.0 rgb/\0.png', 'line 1: .*no name of a file'),
        ('0.1 rgb/0.png\n0.1 rgb/1.png', 'line 2: stamp 0.1 is not later'),
    ],
)
def test_a_wrong_list_is_refused(line, message, make_folder):
    folder = make_folder()
    (folder / 'times.txt').write_text(line + '\n')
    with pytest.raises(SequenceError, match=message):
        open_sequence(folder)


def test_tum_pairs_by_nearest_stamp(tum_folder, make_frames):
    sequence = open_sequence(tum_folder)
    frames = list(sequence)
    assert [f.stamp_ns for f in frames] == [i * 10**8 for i in range(5)]
    assert [f.depth is None for f in frames] == [False, False, True, False, False]
    raw = np.rint(make_frames(5, depth=True)[1].depth.depth * 1000)
    expected = np.where(raw == 4999, 0, raw).astype(np.float32) / np.float32(5000)
    assert np.array_equal(frames[1].depth.depth, expected), 'the scale of TUM RGB-D is 5000'
    assert '1 of 5 pictures have no depth image within 0.02 s' in sequence.losses[0]
    assert len(sequence.ground_truth()) == 2


def test_tum_pairs_only_within_the_tolerance(tum_folder):
    sequence = open_sequence(tum_folder, SequenceOptions(max_time_difference_s=0.004))
    assert all(frame.depth is None for frame in sequence)
    assert '5 of 5' in sequence.losses[0]


def test_tum_without_calibration_is_a_usage_error(tum_folder):
    (tum_folder / 'calibration.yaml').unlink()
    with pytest.raises(UsageError, match='write one with fx'):
        open_sequence(tum_folder)


def test_tum_without_depth_is_monocular(tum_folder):
    (tum_folder / 'depth.txt').unlink()
    sequence = open_sequence(tum_folder)
    assert all(frame.depth is None for frame in sequence) and not sequence.losses


def test_topics_are_for_bags(make_folder):
    with pytest.raises(UsageError, match='--image-topic is for bags'):
        open_sequence(make_folder(), SequenceOptions(image_topic='/x'))
