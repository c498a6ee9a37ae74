# SPDX-License-Identifier: Apache-2.0
"""``flowcam odometry``."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowcam_ros.cli.inputs import (
    DONE_WITH_LOSSES,
    CameraInfoTopicOption,
    CameraOption,
    ConfigOption,
    DepthCameraInfoTopicOption,
    DepthSource,
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
    from flowcam_ros.cli.frame_choice import FrameChoice
    from flowcam_ros.cli.tracking_run import TrackingRecord
    from flowcam_ros.errors import FrameRejected
    from flowcam_ros.geometry.frame import Frame
    from flowcam_ros.odometry.config import OdometryConfig
    from flowcam_ros.odometry.estimate import PoseEstimate
    from flowcam_ros.sequences.options import SequenceOptions
    from flowcam_ros.sequences.sequence import Sequence


def odometry(
    source: InputArgument,
    output: Annotated[
        Path, typer.Option(metavar='DIR', help='New folder for trajectory.tum and run.json.')
    ],
    depth: Annotated[
        DepthSource | None,
        typer.Option(
            metavar='SOURCE',
            help='Where depth comes from: auto, sensor, stereo or none; the same as --set '
            'depth.source=SOURCE.',
        ),
    ] = None,
    debug: Annotated[
        Path | None,
        typer.Option(
            metavar='DIR',
            help='New folder for debug.csv, a row a frame, and pictures of what was seen.',
        ),
    ] = None,
    debug_frames: Annotated[
        str | None,
        typer.Option(
            metavar='CHOICE',
            help='Frames to draw: numbers from 0 and ranges (10,40-60), every=5, bad (all that '
            'are not tracked) or all (the default), joined by commas.',
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
    strict: StrictOption = False,
) -> int:
    """Find the camera's path through a recording, as fast as this machine can.

    Writes trajectory.tum (a pose for every frame, camera-to-world) and
    run.json (counts, speed, memory, versions, options, losses).

    Example: flowcam odometry my_bag --output result --depth sensor
    """
    from flowcam_ros.cli.settings import resolve_config
    from flowcam_ros.export.atomic import check_new_folder
    from flowcam_ros.sequences.options import SequenceOptions

    check_new_folder(output)
    view = debug_request(output, debug, debug_frames)
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
    resolved = resolve_config(config, assign or (), None if depth is None else depth.value)
    return run(source, output, options, resolved, view)


@dataclass(frozen=True)
class DebugRequest:
    """What to show of the estimator's inner workings.

    Attributes:
        folder: a new folder.
        frames: which frames to draw.
    """

    folder: Path
    frames: FrameChoice


def debug_request(output: Path, folder: Path | None, frames: str | None) -> DebugRequest | None:
    """Return what --debug and --debug-frames ask for, None for nothing.

    Raises:
        UsageError: the folder or the choice of frames cannot be.
    """
    from flowcam_ros.cli.frame_choice import parse_frames
    from flowcam_ros.errors import UsageError
    from flowcam_ros.export.atomic import check_new_folder

    if folder is None:
        if frames is not None:
            raise UsageError('--debug-frames: say with --debug which folder the pictures go to')
        return None
    result, view = (Path(os.path.realpath(path)) for path in (output, folder))
    if result.is_relative_to(view) or view.is_relative_to(result):
        raise UsageError(f'--debug {folder} and --output {output}: name two folders side by side')
    check_new_folder(folder)
    return DebugRequest(folder, parse_frames('all' if frames is None else frames))


def run(
    source: str,
    output: Path,
    options: SequenceOptions,
    config: OdometryConfig,
    debug: DebugRequest | None = None,
) -> int:
    """Track a sequence, write the results as new folders, and return the exit code.

    Raises:
        FlowcamError: the input or the output cannot be used; nothing is written then.
    """
    from flowcam_ros.errors import SequenceError
    from flowcam_ros.export.atomic import new_folder
    from flowcam_ros.export.json_file import plain, write_json
    from flowcam_ros.export.tum import write_trajectory
    from flowcam_ros.sequences import open_sequence

    sequence = open_sequence(source, options)
    with contextlib.ExitStack() as folders:
        folder = folders.enter_context(new_folder(output))
        if debug is not None:
            unfinished = folders.enter_context(new_folder(debug.folder))
            debug = DebugRequest(unfinished, debug.frames)
        # This imports torch, which takes a second; a wrong input is told before that.
        from flowcam_ros.cli.run_report import run_report

        record = track_sequence(sequence, config, debug)
        losses = list(sequence.losses)
        if not record.stamps_ns:
            raise SequenceError(
                f'{source}: no frame could be read' + ''.join(f'; {loss}' for loss in losses)
            )
        if not record.frame_ms:
            reason, message = next(iter(record.examples.items()))
            raise SequenceError(f'{source}: every frame was rejected ({reason}): {message}')
        origin = {'path': source, 'name': sequence.name, 'options': plain(options)}
        report = run_report(record, config, origin, losses)
        write_trajectory(folder / 'trajectory.tum', record.trajectory())
        write_json(folder / 'run.json', report)
    print_summary(output, report)
    return DONE_WITH_LOSSES if report['losses'] else 0


def track_sequence(
    sequence: Sequence, config: OdometryConfig, debug: DebugRequest | None
) -> TrackingRecord:
    """Run the estimator over a sequence, with a progress bar and perhaps a look inside.

    Raises:
        FlowcamError: the input cannot be read, or what was seen cannot be written.
    """
    from flowcam_ros.cli.progress import progress
    from flowcam_ros.cli.tracking_run import track
    from flowcam_ros.odometry.pipeline import VisualOdometry

    odometry = VisualOdometry(config)
    with contextlib.ExitStack() as helpers:
        advance = helpers.enter_context(progress('odometry', sequence.expected_frames()))
        view = None
        if debug is not None:
            from flowcam_ros.cli.debug_output import debug_output

            view = helpers.enter_context(
                debug_output(debug.folder, debug.frames, odometry, config)
            )

        def on_frame(frame: Frame, outcome: PoseEstimate | FrameRejected) -> None:
            if view is not None:
                view.add(frame, outcome)
            advance()

        return track(sequence, odometry, on_frame)


def print_summary(output: Path, report: dict[str, object]) -> None:
    """Print what was written, and as warnings each loss and why nothing was tracked."""
    import sys

    losses = report['losses']
    assert isinstance(losses, list)
    for loss in losses:
        print(f'flowcam: warning: {loss}', file=sys.stderr)
    if not report['tracked']:
        reasons = report['reasons']
        assert isinstance(reasons, dict)
        why = ', '.join(f'{reason} {count}' for reason, count in reasons.items())
        print(f'flowcam: warning: no frame could be tracked ({why})', file=sys.stderr)
    print(
        f'{output}: {report["frames"]} frames, {report["tracked"]} tracked, '
        f'{report["fps"]:.1f} frames/s, scale from {report["scale_source"]}'
    )
