# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures: ``times.txt``, ``calibration.yaml``, ``rgb/``, ``depth/``."""

from __future__ import annotations

from pathlib import Path

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.sequences.calibration import Calibration, read_calibration
from flowcam_ros.sequences.mask import Mask
from flowcam_ros.sequences.options import SequenceOptions
from flowcam_ros.sequences.picture_files import PictureEntry, PictureSequence, listed_file
from flowcam_ros.sequences.stamps import parse_stamp
from flowcam_ros.sequences.table_file import read_rows


def open_folder(folder: Path, options: SequenceOptions) -> PictureSequence:
    """Open a folder that holds ``times.txt``.

    Raises:
        SequenceError: ``times.txt`` is malformed.
        UsageError: there is no calibration.
        CameraError: the calibration is wrong or does not say how depth is stored.
    """
    entries = _read_times(folder)
    calibration = folder_calibration(folder, options)
    if calibration is None:
        entries = [PictureEntry(entry.stamp_ns, entry.image) for entry in entries]
    elif calibration.depth_units_per_m is None and any(entry.depth for entry in entries):
        raise CameraError(
            f'{folder}: times.txt names depth images but the calibration has no '
            'depth_scale_units_per_m (1000 for millimetres)'
        )
    truth = folder / 'groundtruth.tum'
    return PictureSequence(folder, entries, calibration, Mask(options.mask), truth)


def folder_calibration(folder: Path, options: SequenceOptions) -> Calibration | None:
    """Read the calibration given by the user, else the one in the folder; None to assume one.

    Raises:
        UsageError: there is neither.
        CameraError: it is wrong.
    """
    if options.assume_camera:
        return None
    path = options.camera or folder / 'calibration.yaml'
    if options.camera is None and not path.exists():
        raise UsageError(
            f'{folder} has no calibration.yaml: write one with fx, fy, cx, cy, width, height '
            '(and distortion_model, distortion), or name one with --camera FILE; flowcam refine '
            'does without: --intrinsics unknown'
        )
    return read_calibration(path)


def _read_times(folder: Path) -> list[PictureEntry]:
    path = folder / 'times.txt'
    entries: list[PictureEntry] = []
    for number, words in read_rows(path):
        try:
            entry = _parse(folder, words)
        except ValueError as error:
            raise SequenceError(f'{path}, line {number}: {error}') from error
        if entries and entry.stamp_ns <= entries[-1].stamp_ns:
            raise SequenceError(
                f'{path}, line {number}: stamp {words[0]} is not later than the one before'
            )
        entries.append(entry)
    if not entries:
        raise SequenceError(f'{path}: no picture in it; expected "stamp_s rgb_file [depth_file]"')
    return entries


def _parse(folder: Path, words: list[str]) -> PictureEntry:
    if len(words) not in (2, 3):
        raise ValueError(f'{len(words)} columns; expected "stamp_s rgb_file [depth_file]"')
    depth = listed_file(folder, words[2]) if len(words) == 3 else None
    return PictureEntry(parse_stamp(words[0]), listed_file(folder, words[1]), depth)
