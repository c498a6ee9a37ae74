# SPDX-License-Identifier: Apache-2.0
"""Write any sequence as a ROS 2 bag."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from flowcam_ros.errors import OutputError, UsageError
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.bag.topic_writer import TopicWriter
from flowcam_ros.sequences.sequence import Sequence

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}


@dataclass(frozen=True)
class RecordSummary:
    """What was written.

    Attributes:
        path: the bag folder.
        frames: number of pictures.
        topics: number of messages by topic.
        duration_ns: from the first to the last picture.
        losses: what of the input could not be read, as sentences.
    """

    path: Path
    frames: int
    topics: dict[str, int]
    duration_ns: int
    losses: list[str]


def record_bag(
    sequence: Sequence,
    output: Path | str,
    storage: str = 'mcap',
    compressed: bool = False,
    progress: Callable[[int], None] | None = None,
) -> RecordSummary:
    """Write a sequence as a new bag folder, which appears only when it is complete.

    Topics: ``/camera/image``, ``/camera/camera_info``, and where the sequence has them
    ``/camera/depth/image``, ``/camera/depth/camera_info``, ``/camera/right/image``,
    ``/camera/right/camera_info``, ``/ground_truth/odom`` (pose of the camera's optical frame) and
    ``/tf_static`` (only when depth and picture have a known transform between them). Messages are
    recorded at their own stamps. A mask has no topic: it is given again when the bag is read.

    Args:
        sequence: what to write; read once.
        output: the folder to make.
        storage: ``mcap`` or ``sqlite3``.
        compressed: write PNG (CompressedImage, compressedDepth) instead of raw pictures; depth is
            then rounded to millimetres.
        progress: called with the number of frames written so far.

    Raises:
        UsageError: ``storage`` is unknown.
        OutputError: ``output`` exists, or cannot be written (no permission, disk full).
    """
    if storage not in STORAGES:
        raise UsageError(f'storage {storage!r}; known: {", ".join(STORAGES)}')
    output = Path(output)
    with _new_bag(output) as temporary:
        writer = Writer(temporary, version=9, storage_plugin=STORAGES[storage])
        with writer:
            topics = TopicWriter(writer, compressed)
            first, last, count = _write(sequence, topics, progress)
    return RecordSummary(output, count, topics.counts, last - first, list(sequence.losses))


def _write(
    sequence: Sequence, topics: TopicWriter, progress: Callable[[int], None] | None
) -> tuple[int, int, int]:
    truth = _TruePoses(sequence.ground_truth(), topics)
    first = last = count = 0
    frame: Frame | None = None
    for frame in sequence:
        truth.write_until(frame.stamp_ns, frame.frame_id)
        topics.write_frame(frame)
        first = first if count else frame.stamp_ns
        last, count = frame.stamp_ns, count + 1
        if progress is not None:
            progress(count)
    if frame is not None:
        truth.write_until(None, frame.frame_id)
    return first, last, count


class _TruePoses:
    """Writes the true poses in between the frames, so that the bag is in order of time."""

    def __init__(self, truth: Trajectory | None, topics: TopicWriter) -> None:
        self._truth = truth
        self._topics = topics
        self._next = 0

    def write_until(self, stamp_ns: int | None, frame_id: str) -> None:
        """Write the poses up to a stamp, or all that are left."""
        if self._truth is None:
            return
        while self._next < len(self._truth):
            stamp = int(self._truth.stamps_ns[self._next])
            if stamp_ns is not None and stamp > stamp_ns:
                return
            pose: np.ndarray = self._truth.world_from_camera[self._next]
            self._topics.write_true_pose(stamp, pose, frame_id)
            self._next += 1


@contextmanager
def _new_bag(output: Path) -> Iterator[Path]:
    """Give a hidden folder for a bag that is moved to ``output`` if all goes well.

    rosbags names the data file after its folder, so the bag is made inside a hidden one under its
    final name. Whatever goes wrong, Ctrl-C included, nothing is left behind.
    """
    output = Path(os.path.abspath(output))
    if os.path.lexists(output):
        raise OutputError(f'{output} exists already; it is not overwritten: name a new folder')
    hidden = output.with_name(f'.{output.name}.{secrets.token_hex(4)}')
    try:
        hidden.mkdir(parents=True)
        yield hidden / output.name
        for file in (hidden / output.name).iterdir():
            with file.open('rb') as written:
                os.fsync(written.fileno())
        if os.path.lexists(output):
            raise OutputError(f'{output} came to be meanwhile; it is not overwritten')
        os.replace(hidden / output.name, output)
    except OSError as error:
        raise OutputError(f'{output}: cannot be written ({error.strerror or error})') from error
    except sqlite3.Error as error:
        # sqlite3 does not pass on the operating system's reason; a full disk is the usual one.
        reason = os.strerror(errno.ENOSPC) if 'full' in str(error) else str(error)
        raise OutputError(f'{output}: cannot be written ({reason})') from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
