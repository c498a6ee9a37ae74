# SPDX-License-Identifier: Apache-2.0
"""``flowcam demo``; the demonstration itself needs ROS and is flowcam_ros.ros.demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OutputOption = Annotated[
    Path | None,
    typer.Option(metavar='DIR', help='New folder; by default flowcam_demo, flowcam_demo_2, ...'),
]
FramesOption = Annotated[int, typer.Option(help='Length of the recording, at 30 Hz.', min=10)]
SeedOption = Annotated[int, typer.Option(help='Of the rendered world.', min=0)]
KeepOption = Annotated[bool, typer.Option('--keep', help='Keep the rendered bag (0.3 GB).')]


def demo(
    output: OutputOption = None,
    frames: FramesOption = 200,
    seed: SeedOption = 0,
    keep: KeepOption = False,
) -> None:
    """Render a short recording, play it over ROS 2 into the odometry node, and judge the result.

    Takes less than a minute; writes demo.png (path, image, depth), trajectory.tum, summary.json.
    """
    from flowcam_ros.cli.ros_process import replace_by_ros_module

    words = [f'--frames={frames}', f'--seed={seed}']
    if output is not None:
        words.append(f'--output={output}')
    replace_by_ros_module('demo', [*words, '--keep'] if keep else words)
