# SPDX-License-Identifier: Apache-2.0
"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

# Exit code of a command that did its work although part of the input could not be used.
DONE_WITH_LOSSES = 3
_LARGEST = 1e9

INPUT_HELP = (
    'A ROS 2 bag (folder or file), a folder of images, a video, or synthetic:NAME for a rendered '
    'sequence.'
)


def finite(value: float | None) -> float | None:
    """Refuse NaN, which passes every range, and numbers that nanoseconds cannot hold."""
    if value is not None and not abs(value) <= _LARGEST:
        raise typer.BadParameter(f'{value} is not a number up to {_LARGEST:g}')
    return value


def not_negative(value: float) -> float:
    """Refuse what is no duration; typer's own range would crowd the help of 80 columns."""
    finite(value)
    if value < 0.0:
        raise typer.BadParameter(f'{value} is less than 0')
    return value


InputArgument = Annotated[str, typer.Argument(metavar='INPUT', help=INPUT_HELP)]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        '--config', metavar='FILE', help='YAML of options, plain or a ROS parameter file.'
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option('--set', metavar='KEY=VALUE', help='Set one option; see flowcam config.'),
]
CameraOption = Annotated[
    Path | None,
    typer.Option('--camera', metavar='FILE', help='Calibration, if the input has none.'),
]
MaskOption = Annotated[
    Path | None,
    typer.Option('--mask', metavar='FILE', help='PNG whose black pixels are never used.'),
]
ImageTopicOption = Annotated[
    str | None, typer.Option(metavar='TOPIC', help='Images, if a bag has several.')
]
CameraInfoTopicOption = Annotated[
    str | None, typer.Option(metavar='TOPIC', help='CameraInfo, if it is not beside the images.')
]
DepthTopicOption = Annotated[
    str | None,
    typer.Option(metavar='TOPIC', help='Measured depth, if a bag has several; or none.'),
]
DepthCameraInfoTopicOption = Annotated[
    str | None, typer.Option(metavar='TOPIC', help='CameraInfo of the depth.')
]
RightTopicOption = Annotated[
    str | None, typer.Option(metavar='TOPIC', help='Right image of a rectified pair; or none.')
]
RightCameraInfoTopicOption = Annotated[
    str | None, typer.Option(metavar='TOPIC', help='CameraInfo of the right image (baseline).')
]
MaxTimeDifferenceOption = Annotated[
    float,
    typer.Option(
        metavar='SECONDS',
        help='Between an image and its depth or right image.',
        callback=not_negative,
    ),
]
StrictOption = Annotated[
    bool, typer.Option('--strict', help='Check the checksums of bags; slower.')
]


class DepthSource(str, Enum):
    """Where depth comes from, as the option ``depth.source`` has it."""

    AUTO = 'auto'
    SENSOR = 'sensor'
    STEREO = 'stereo'
    NONE = 'none'


class Alignment(str, Enum):
    """How a trajectory is laid over the ground truth."""

    SIM3 = 'sim3'
    SE3 = 'se3'
    NONE = 'none'


class Storage(str, Enum):
    """How a bag is stored."""

    MCAP = 'mcap'
    SQLITE3 = 'sqlite3'
