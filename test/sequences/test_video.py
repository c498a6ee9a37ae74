# SPDX-License-Identifier: Apache-2.0
"""Video files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.sequences import SequenceOptions, open_sequence

COUNT, FPS = 20, 25.0


@pytest.fixture(params=['MJPG.avi', 'mp4v.mp4'])
def video(request, tmp_path):
    """Return a video whose frames grow brighter."""
    codec, _, suffix = request.param.partition('.')
    path = tmp_path / f'ride.{suffix}'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (64, 48))
    if not writer.isOpened():
        pytest.skip(f'this OpenCV cannot write {codec}')
    for i in range(COUNT):
        writer.write(np.full((48, 64, 3), 10 * i + 20, np.uint8))
    writer.release()
    return path


def test_frames_come_in_order_with_stamps_of_the_container(video, calibration_file):
    sequence = open_sequence(video, SequenceOptions(camera=calibration_file))
    for _ in range(2):
        frames = list(sequence)
        assert len(frames) == COUNT and not sequence.losses
        assert frames[0].image.shape == (48, 64, 3) and frames[0].camera.fx == 50.5
        brightness = [frame.image.mean() for frame in frames]
        assert np.allclose(brightness, [10 * i + 20 for i in range(COUNT)], atol=6)
        steps = np.diff([frame.stamp_ns for frame in frames])
        assert np.allclose(steps, 1e9 / FPS, atol=2e6)
    assert sequence.name == 'ride' and sequence.ground_truth() is None
    assert sequence.expected_frames() == COUNT


def test_a_video_needs_intrinsics_that_fit(video, calibration_file):
    with pytest.raises(UsageError, match='--camera FILE'):
        open_sequence(video)
    calibration_file.write_text(calibration_file.read_text().replace('width: 64', 'width: 60'))
    with pytest.raises(CameraError, match='60x48 pixels, but the image has 64x48'):
        open_sequence(video, SequenceOptions(camera=calibration_file))


def test_what_is_no_video_is_refused(tmp_path, calibration_file):
    path = tmp_path / 'broken.mp4'
    path.write_bytes(b'\x00\x00\x00\x20ftypisom' + bytes(1000))
    with pytest.raises(SequenceError, match='cannot be opened as a video'):
        open_sequence(path, SequenceOptions(camera=calibration_file))


def test_a_truncated_video_says_how_much_is_missing(video, calibration_file):
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 2 // 3])
    options = SequenceOptions(camera=calibration_file)
    try:
        sequence = open_sequence(video, options)
        count = len(list(sequence))
    except SequenceError as error:
        assert '\n' not in str(error)
    else:
        assert count == COUNT or f'{count} of ~{COUNT} frames' in sequence.losses[0]
