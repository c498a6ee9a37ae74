# SPDX-License-Identifier: Apache-2.0
"""Folders in the layout of the TUM RGB-D benchmark: ``rgb.txt``, ``depth.txt``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from flowcam_ros.errors import SequenceError
from flowcam_ros.sequences.folder import folder_calibration
from flowcam_ros.sequences.mask import Mask
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.sequences.pairing import unpaired_sentence
from flowcam_ros.sequences.picture_files import PictureEntry, PictureSequence, listed_file
from flowcam_ros.sequences.stamps import NANOSECONDS, parse_stamp
from flowcam_ros.sequences.table_file import read_rows

# The benchmark's scale of 16-bit depth, used unless the calibration says another.
_UNITS_PER_M = 5000.0


def open_tum_rgbd(folder: Path, options: SequenceOptions) -> PictureSequence:
    """Open a folder that holds ``rgb.txt`` and, for depth, ``depth.txt``.

    Each picture gets the depth image nearest in time, at most ``max_time_difference_s`` away.

    Raises:
        SequenceError: a list is malformed or empty.
        UsageError: there is no calibration.
        CameraError: the calibration is wrong.
    """
    images = _read_list(folder, 'rgb.txt')
    calibration = folder_calibration(folder, options)
    depths = []
    if calibration is not None:
        units = calibration.depth_units_per_m or _UNITS_PER_M
        calibration = dataclasses.replace(calibration, depth_units_per_m=units)
        if (folder / 'depth.txt').exists():
            depths = _read_list(folder, 'depth.txt')
    entries = _paired(images, depths, options.max_time_difference_s)
    truth = folder / 'groundtruth.txt'
    sequence = PictureSequence(folder, entries, calibration, Mask(options.mask), truth)
    unpaired = sum(entry.depth is None for entry in entries)
    sentence = unpaired_sentence('depth', unpaired, len(entries), options.max_time_difference_s)
    if depths and sentence:
        sequence.note_loss(sentence)
    return sequence


def _read_list(folder: Path, name: str) -> list[tuple[int, Path]]:
    path = folder / name
    entries: list[tuple[int, Path]] = []
    for number, words in read_rows(path):
        try:
            if len(words) != 2:
                raise ValueError(f'{len(words)} columns; expected "stamp_s file"')
            stamp, file = parse_stamp(words[0]), listed_file(folder, words[1])
        except ValueError as error:
            raise SequenceError(f'{path}, line {number}: {error}') from error
        if entries and stamp <= entries[-1][0]:
            raise SequenceError(
                f'{path}, line {number}: stamp {words[0]} is not later than the one before'
            )
        entries.append((stamp, file))
    if not entries:
        raise SequenceError(f'{path}: no picture in it; expected "stamp_s file"')
    return entries


def _paired(
    images: list[tuple[int, Path]], depths: list[tuple[int, Path]], tolerance_s: float
) -> list[PictureEntry]:
    if not depths:
        return [PictureEntry(stamp, image) for stamp, image in images]
    stamps = np.array([stamp for stamp, _ in depths])
    tolerance = round(tolerance_s * NANOSECONDS)
    entries = []
    for stamp, image in images:
        after = int(np.searchsorted(stamps, stamp))
        near = [i for i in (after - 1, after) if 0 <= i < len(stamps)]
        best = min(near, key=lambda i: abs(int(stamps[i]) - stamp))
        paired = abs(int(stamps[best]) - stamp) <= tolerance
        entries.append(PictureEntry(stamp, image, depths[best][1] if paired else None))
    return entries
