# SPDX-License-Identifier: Apache-2.0
"""A short bag, and options with which it is refined in a few seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.axes import BODY_FROM_OPTICAL
from flowcam_ros.sequences import open_sequence
from flowcam_ros.sequences.bag.message_writer import MessageWriter
from flowcam_ros.sequences.bag.topic_writer import TopicWriter

FRAMES = 40
SEQUENCE = f'synthetic:orbit?frames={FRAMES}&width=240&height=176&depth=false'
OPTIONS: dict[str, object] = {
    'intrinsics.mode': 'known',
    'store.pixels': 4096,
    'frames.max_frames': 10,
    'frames.step': 0.03,
    'tracks.points': 200,
    'optimizer.start_steps': 10,
    'optimizer.steps': 10,
    'dense.pixels': 10000,
}
# The camera sits ahead of and above the body, and looks 10 degrees down.
BODY_FROM_CAMERA = se3.exp(np.array([0.2, 0.05, 0.4, 0.0, 0.1745, 0.0])) @ BODY_FROM_OPTICAL


def write_small_bag(folder: Path, *, turn: float | None = None, stretch: float = 1.0) -> None:
    """Write the rendered sequence as a bag.

    Args:
        folder: the new bag.
        turn: if given, ``/odom`` holds the body's path in the frame ``wheels``, with a heading
            that drifts by so many radians from the first to the last frame.
        stretch: factor on the lengths that ``/odom`` tells.
    """
    sequence = open_sequence(SEQUENCE)
    truth = sequence.ground_truth()
    assert truth is not None
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        pictures, messages = TopicWriter(writer, compressed=False), MessageWriter(writer)
        back = se3.inverse(truth.world_from_camera[0])
        for k, frame in enumerate(sequence):
            pictures.write_frame(frame)
            if turn is None:
                continue
            if k == 0:
                edge = ('body', frame.frame_id, BODY_FROM_CAMERA)
                messages.write_transforms('/tf_static', frame.stamp_ns, [edge])
            moved = BODY_FROM_CAMERA @ back @ truth.world_from_camera[k]
            body = turned(turn * k / (FRAMES - 1)) @ moved @ se3.inverse(BODY_FROM_CAMERA)
            body[:3, 3] *= stretch
            messages.write_pose('/odom', frame.stamp_ns, 'wheels', 'body', body)


def turned(angle: float) -> np.ndarray:
    """Return a turn about the vertical."""
    return se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, angle]))
