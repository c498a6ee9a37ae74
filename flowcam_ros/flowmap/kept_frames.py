# SPDX-License-Identifier: Apache-2.0
"""Chosen frames that an interrupted refinement left behind, so that nothing is read anew."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.frame_record import Fate, FrameRecord
from flowcam_ros.flowmap.frame_store import FrameStore

_RECORDS_FILE = 'records.json'
# Within the folder of the work.
FRAMES = 'frames'


def emptied(folder: Path) -> Path:
    """Return the folder, made anew if it was there.

    Raises:
        OutputError: that cannot be done.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f'{folder}: cannot be made anew ({error.strerror})') from error
    return folder


def keep_records(folder: Path, records: list[FrameRecord]) -> None:
    """Write the records of all frames beside the store, which is complete from then on.

    What the records speak of is on the disk before they are, so that a power cut leaves no frames
    of zeros behind that look whole.

    Raises:
        OutputError: they cannot be written.
    """
    path = folder / _RECORDS_FILE
    temporary = folder / f'.{_RECORDS_FILE}.part'
    try:
        temporary.write_text(json.dumps([dataclasses.asdict(r) for r in records]), 'utf-8')
        for file in folder.iterdir():
            with file.open('rb') as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f'{path}: cannot be written ({error.strerror})') from error


def has_all_frames(work: Path) -> bool:
    """Return whether a refinement has read its recording to the end, and kept its frames."""
    return (work / FRAMES / _RECORDS_FILE).is_file()


def kept_frames(folder: Path) -> tuple[FrameStore, list[FrameRecord]]:
    """Return the store and the records of all frames.

    Raises:
        OutputError: they are damaged.
    """
    path = folder / _RECORDS_FILE
    try:
        values = json.loads(path.read_text('utf-8'))
        records = [FrameRecord(**{**value, 'fate': Fate(value['fate'])}) for value in values]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f'{path}: is damaged; delete {folder} to read them anew') from error
    return FrameStore(folder), records
