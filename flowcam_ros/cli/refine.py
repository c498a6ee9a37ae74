# SPDX-License-Identifier: Apache-2.0
"""``flowcam refine``."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowcam_ros.cli.inputs import (
    DONE_WITH_LOSSES,
    CameraInfoTopicOption,
    CameraOption,
    ConfigOption,
    DepthCameraInfoTopicOption,
    DepthTopicOption,
    ImageTopicOption,
    InputArgument,
    MaskOption,
    MaxTimeDifferenceOption,
    RightCameraInfoTopicOption,
    RightTopicOption,
    SetOption,
    StrictOption,
)

if TYPE_CHECKING:
    from flowcam_ros.runs.refine import RefineOutcome

# Exit code of a result that its own numbers speak against.
BAD_RESULT = 4


class Intrinsics(str, Enum):
    """What is known of the camera, as the option ``intrinsics.mode`` has it."""

    KNOWN = 'known'
    REFINE = 'refine'
    UNKNOWN = 'unknown'


def refine(
    source: InputArgument,
    output: Annotated[Path, typer.Option(metavar='DIR', help='New folder for all results.')],
    intrinsics: Annotated[
        Intrinsics | None,
        typer.Option(
            metavar='MODE',
            help='known, refine (the default) or unknown, which needs no calibration.',
        ),
    ] = None,
    config: ConfigOption = None,
    assign: SetOption = None,
    camera: CameraOption = None,
    mask: MaskOption = None,
    image_topic: ImageTopicOption = None,
    camera_info_topic: CameraInfoTopicOption = None,
    depth_topic: DepthTopicOption = None,
    depth_camera_info_topic: DepthCameraInfoTopicOption = None,
    right_topic: RightTopicOption = None,
    right_camera_info_topic: RightCameraInfoTopicOption = None,
    max_time_difference: MaxTimeDifferenceOption = 0.02,
    rerun: Annotated[
        bool, typer.Option('--rerun', help='Write recording.rrd for the rerun viewer, too.')
    ] = False,
    strict: StrictOption = False,
) -> int:
    """Find precise poses, intrinsics and dense depth of a recording, offline.

    Writes a folder with report.html (look at it first), trajectory.tum, a COLMAP model, depth
    maps, a point cloud and more; docs/refine.md lists all files.

    Example: flowcam refine my_bag --output refined --intrinsics unknown
    """
    from flowcam_ros.cli.refine_progress import refine_progress
    from flowcam_ros.cli.refine_settings import resolve_refine_config
    from flowcam_ros.export.atomic import check_new_folder
    from flowcam_ros.sequences.options import SequenceOptions

    check_new_folder(output)
    options = SequenceOptions(
        image_topic=image_topic,
        camera_info_topic=camera_info_topic,
        depth_topic=depth_topic,
        depth_camera_info_topic=depth_camera_info_topic,
        right_topic=right_topic,
        right_camera_info_topic=right_camera_info_topic,
        camera=camera,
        mask=mask,
        max_time_difference_s=max_time_difference,
        strict=strict,
    )
    assigned = [*(assign or ()), *(['export.rerun=true'] if rerun else [])]
    resolved = resolve_refine_config(
        config, assigned, None if intrinsics is None else intrinsics.value
    )
    from flowcam_ros.runs.refine import refine_recording

    with refine_progress() as listener:
        outcome = refine_recording(source, output, options, resolved, listener)
    return _told(output, outcome)


def _told(output: Path, outcome: RefineOutcome) -> int:
    """Print what came out, and return the exit code."""
    from flowcam_ros.flowmap.evidence import Level
    from flowcam_ros.runs.refine import summary, warnings

    for sentence in warnings(outcome):
        print(f'flowcam: {sentence}', file=sys.stderr)
    print(summary(output, outcome))
    if outcome.verdict.level is Level.BAD:
        return BAD_RESULT
    return DONE_WITH_LOSSES if outcome.losses else 0
