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
from flowcam_ros.errors import UsageError

if TYPE_CHECKING:
    from flowcam_ros.runs.refine import RefineOutcome

# Exit code of a result that its own numbers speak against.
BAD_RESULT = 4


class Intrinsics(str, Enum):
    """What is known of the camera, as the option ``intrinsics.mode`` has it."""

    KNOWN = 'known'
    REFINE = 'refine'
    UNKNOWN = 'unknown'


class Engine(str, Enum):
    """Who works on the windows of a long recording, as ``windows.engine`` has it."""

    LOCAL = 'local'
    RAY = 'ray'


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
    odometry: Annotated[
        Path | None,
        typer.Option(
            metavar='DIR',
            help='Folder written by flowcam odometry for the same recording, to start from.',
        ),
    ] = None,
    memory_gb: Annotated[
        float | None,
        typer.Option(metavar='GB', help='Memory that may be used; 0, the default, sets no limit.'),
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(
            metavar='ENGINE',
            help='local (the default), or ray: windows of a long recording side by side.',
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
    resume: Annotated[
        bool,
        typer.Option(
            '--resume',
            help='Go on with a refinement that was interrupted.',
        ),
    ] = False,
    checkpoint_steps: Annotated[
        int,
        typer.Option(
            metavar='N', min=1, help='Save the optimisation every N steps, and at Ctrl-C.'
        ),
    ] = 25,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar='DIR',
            help='Where correspondences are kept for later runs; the default is '
            '$XDG_CACHE_HOME/flowcam_ros (~/.cache).',
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option('--no-cache', help='Neither use nor keep correspondences.')
    ] = False,
) -> int:
    """Find precise poses, intrinsics and dense depth of a recording, offline.

    Writes a folder with report.html (look at it first), trajectory.tum, a COLMAP model, depth
    maps, a point cloud and more; docs/refine.md lists all files. Ctrl-C keeps the work so far in
    DIR.unfinished, and the same command with --resume goes on from there.

    Example: flowcam refine my_bag --output refined --intrinsics unknown
    """
    from flowcam_ros.cli.refine_progress import refine_progress
    from flowcam_ros.cli.refine_settings import resolve_refine_config
    from flowcam_ros.export.atomic import check_new_folder
    from flowcam_ros.sequences.options import SequenceOptions

    check_new_folder(output)
    if no_cache and cache is not None:
        raise UsageError(f'--no-cache and --cache {cache} contradict')
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
    resolved = resolve_refine_config(
        config,
        assign or (),
        {
            '--intrinsics': None if intrinsics is None else intrinsics.value,
            '--cache': None if cache is None else str(cache),
            '--no-cache': '' if no_cache else None,
            '--odometry': None if odometry is None else str(odometry),
            '--memory-gb': memory_gb,
            '--engine': None if engine is None else engine.value,
            '--rerun': True if rerun else None,
        },
    )
    from flowcam_ros.cli.interrupts import interrupts_after_steps
    from flowcam_ros.runs.refine import refine_recording
    from flowcam_ros.runs.unfinished import Keeping

    keeping = Keeping(resume, checkpoint_steps, _tell_how_to_go_on)
    with refine_progress() as progress, interrupts_after_steps(progress) as listener:
        outcome = refine_recording(source, output, options, resolved, listener, keeping)
    return _told(output, outcome)


def _tell_how_to_go_on(folder: Path) -> None:
    print(
        f'flowcam: the work so far is kept in {folder}: the same command with --resume goes on',
        file=sys.stderr,
    )


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
