# SPDX-License-Identifier: Apache-2.0
"""The real sequences beside the checkout."""

from __future__ import annotations

import numpy as np
import pytest

from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.record import record_bag

# name: frames, width, height, depth
SEQUENCES = {
    'kitti01_ramp': (51, 1241, 376, False),
    'sevenscenes_redkitchen_a': (90, 640, 480, True),
    'hololens_rot': (40, 540, 360, True),
    'tum_fr3_cabinet': (58, 640, 480, True),
    'euroc_mh05_a': (40, 752, 480, False),
    'fox': (50, 1080, 1920, False),
    'llff_fern': (20, 504, 378, False),
}


@pytest.mark.parametrize('name', SEQUENCES)
def test_a_real_sequence_opens(name, shared_data):
    count, width, height, depth = SEQUENCES[name]
    sequence = open_sequence(shared_data / name)
    assert sequence.name == name and sequence.expected_frames() == count
    assert len(sequence.ground_truth()) == count
    frame = next(iter(sequence))
    assert frame.image.shape[:2] == (height, width) and frame.image.dtype == np.uint8
    assert (frame.camera.width, frame.camera.height) == (width, height)
    assert frame.camera.is_distorted == (name in ('euroc_mh05_a', 'fox', 'llff_fern'))
    assert (frame.depth is not None) == depth
    if depth:
        known = frame.depth.depth[frame.depth.depth > 0]
        assert (
            0.4 < np.median(known) < 6 and known.max() < 20 and len(known) > 0.3 * width * height
        )


def test_every_frame_of_a_video_rate_sequence_survives_a_bag(shared_data, tmp_path):
    original = open_sequence(shared_data / 'sevenscenes_redkitchen_a')
    record_bag(original, tmp_path / 'bag')
    again = open_sequence(tmp_path / 'bag')
    for frame, expected in zip(again, original, strict=True):
        assert frame.stamp_ns == expected.stamp_ns and frame.camera == expected.camera
        assert np.array_equal(frame.image, expected.image)
        assert np.array_equal(frame.depth.depth, expected.depth.depth)
        assert frame.depth.camera == expected.depth.camera
    assert not again.losses
