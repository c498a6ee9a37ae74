# SPDX-License-Identifier: Apache-2.0
"""Find out what an input is, and open it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from flowcam_ros.errors import SequenceError, UsageError
from flowcam_ros.sequences.options import SequenceOptions

if TYPE_CHECKING:
    from flowcam_ros.sequences.sequence import Sequence

BAG_SUFFIXES = ('.mcap', '.db3')
_KINDS = (
    'a ROS 2 bag (metadata.yaml, .mcap or .db3), a folder with times.txt, '
    'or one with rgb.txt (TUM RGB-D)'
)


def open_sequence(path: Path | str, options: SequenceOptions | None = None) -> Sequence:
    """Open a bag, folder or video; the frames are read while iterating, one at a time.

    Args:
        path: bag folder or file, folder with ``times.txt`` or ``rgb.txt``, video file, or
            ``synthetic:TRAJECTORY?OPTION=VALUE&...`` for the rendered world.
        options: topics, calibration and mask; the defaults find everything that is unambiguous.

    Raises:
        UsageError: the path or a named topic is not there, or it is not clear what is meant.
        CameraError: the intrinsics are missing or wrong.
        SequenceError: the input is damaged beyond use.
    """
    options = options or SequenceOptions()
    if str(path).startswith('synthetic:'):
        return _open_synthetic(str(path), options)
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f'{path} does not exist: there is no such user') from error
    _refuse_calibration(options)
    tolerance = options.max_time_difference_s
    if not (math.isfinite(tolerance) and 0 <= tolerance <= 1):
        raise UsageError(f'time difference of {tolerance} s; expected 0 to 1 s')
    try:
        if not path.exists():
            raise UsageError(f'{path} does not exist')
        if path.name == 'metadata.yaml':
            path = path.parent
        return _open_folder(path, options) if path.is_dir() else _open_file(path, options)
    except OSError as error:
        raise SequenceError(f'{path}: cannot be read ({error.strerror})') from error


def _open_synthetic(text: str, options: SequenceOptions) -> Sequence:
    from flowcam_ros.sequences.synthetic import parse_synthetic

    _refuse_topics(text, options)
    for name in ('camera', 'mask'):
        if getattr(options, name) is not None:
            raise UsageError(f'--{name} is for recordings; {text} has its own')
    sequence = parse_synthetic(text)
    if not options.assume_camera:
        return sequence
    from flowcam_ros.sequences.assumed_camera import AssumedCamera

    return AssumedCamera(sequence)


def _open_folder(path: Path, options: SequenceOptions) -> Sequence:
    if any(p.name == 'metadata.yaml' or p.suffix in BAG_SUFFIXES for p in path.iterdir()):
        from flowcam_ros.sequences.bag.sequence import BagSequence

        return BagSequence(path, options)
    if (path / 'times.txt').is_file():
        from flowcam_ros.sequences.folder import open_folder

        _refuse_topics(path, options)
        return open_folder(path, options)
    if (path / 'rgb.txt').is_file():
        from flowcam_ros.sequences.tum_rgbd import open_tum_rgbd

        _refuse_topics(path, options)
        return open_tum_rgbd(path, options)
    raise UsageError(f'{path} is none of the folders that can be read: {_KINDS}')


def _open_file(path: Path, options: SequenceOptions) -> Sequence:
    if path.suffix in BAG_SUFFIXES:
        from flowcam_ros.sequences.bag.sequence import BagSequence

        return BagSequence(path, options)
    if path.suffix == '.bag':
        raise UsageError(
            f'{path} is a ROS 1 bag; convert it with: rosbags-convert --src {path.name} '
            f'--dst {path.stem}'
        )
    if path.stat().st_size == 0:
        raise SequenceError(f'{path} is empty')
    from flowcam_ros.sequences.video import VideoSequence

    _refuse_topics(path, options)
    return VideoSequence(path, options)


def _refuse_calibration(options: SequenceOptions) -> None:
    """Refuse what means nothing without a calibration where there is to be none."""
    if not options.assume_camera:
        return
    for field in dataclasses.fields(options):
        if field.name.startswith(('camera', 'depth', 'right')):
            value = getattr(options, field.name)
            if value is not None and value != 'none':
                flag = '--' + field.name.replace('_', '-')
                raise UsageError(f'{flag} needs a calibration, but the camera is unknown')


def _refuse_topics(path: Path | str, options: SequenceOptions) -> None:
    for field in dataclasses.fields(options):
        if field.name.endswith('topic') and getattr(options, field.name) is not None:
            flag = '--' + field.name.replace('_', '-')
            raise UsageError(f'{flag} is for bags; {path} is none')
