# SPDX-License-Identifier: Apache-2.0
"""``flowcam record``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flowcam_ros.cli.inputs import (
    DONE_WITH_LOSSES,
    CameraInfoTopicOption,
    CameraOption,
    DepthCameraInfoTopicOption,
    DepthTopicOption,
    ImageTopicOption,
    InputArgument,
    MaxTimeDifferenceOption,
    RightCameraInfoTopicOption,
    RightTopicOption,
    Storage,
    StrictOption,
)


def record(
    source: InputArgument,
    output: Annotated[Path, typer.Option(metavar='BAG', help='New folder for the bag.')],
    storage: Annotated[
        Storage, typer.Option(metavar='FORMAT', help='Format of the bag: mcap or sqlite3.')
    ] = Storage.MCAP,
    compressed: Annotated[
        bool, typer.Option('--compressed', help='PNG pictures and depth: smaller, slower.')
    ] = False,
    camera: CameraOption = None,
    image_topic: ImageTopicOption = None,
    camera_info_topic: CameraInfoTopicOption = None,
    depth_topic: DepthTopicOption = None,
    depth_camera_info_topic: DepthCameraInfoTopicOption = None,
    right_topic: RightTopicOption = None,
    right_camera_info_topic: RightCameraInfoTopicOption = None,
    max_time_difference: MaxTimeDifferenceOption = 0.02,
    strict: StrictOption = False,
) -> int:
    """Turn a recording, a folder of images, a video or a rendered sequence into a ROS 2 bag."""
    from flowcam_ros.cli.progress import progress
    from flowcam_ros.export.atomic import check_new_file
    from flowcam_ros.sequences import SequenceOptions, open_sequence
    from flowcam_ros.sequences.record import record_bag

    check_new_file(output)
    options = SequenceOptions(
        image_topic=image_topic,
        camera_info_topic=camera_info_topic,
        depth_topic=depth_topic,
        depth_camera_info_topic=depth_camera_info_topic,
        right_topic=right_topic,
        right_camera_info_topic=right_camera_info_topic,
        camera=camera,
        max_time_difference_s=max_time_difference,
        strict=strict,
    )
    sequence = open_sequence(source, options)
    with progress('record', sequence.expected_frames()) as advance:
        summary = record_bag(
            sequence, output, storage.value, compressed, progress=lambda _: advance()
        )
    for loss in summary.losses:
        print(f'flowcam: warning: {loss}', file=sys.stderr)
    topics = ', '.join(f'{name} ({count})' for name, count in summary.topics.items())
    print(f'{output}: {summary.frames} frames, {summary.duration_ns * 1e-9:.2f} s: {topics}')
    return DONE_WITH_LOSSES if summary.losses else 0
