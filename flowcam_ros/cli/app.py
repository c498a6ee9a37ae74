# SPDX-License-Identifier: Apache-2.0
"""The commands of the ``flowcam`` program."""

from __future__ import annotations

import typer

from flowcam_ros.cli.config import config
from flowcam_ros.cli.demo import demo
from flowcam_ros.cli.evaluate import evaluate
from flowcam_ros.cli.evaluate_views import evaluate_views
from flowcam_ros.cli.node import node
from flowcam_ros.cli.odometry import odometry
from flowcam_ros.cli.play import play
from flowcam_ros.cli.record import record
from flowcam_ros.cli.refine import refine
from flowcam_ros.cli.version import version

app = typer.Typer(
    name='flowcam',
    help='Visual odometry from optical flow: path and depth from a camera, with or without ROS.',
    epilog='Exit codes: 0 done, 1 failure, 2 usage error, 3 done with losses (unreadable input, '
    'rejected frames), 130 interrupted.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    odometry,
    refine,
    evaluate,
    evaluate_views,
    record,
    demo,
    node,
    play,
    config,
    version,
):
    app.command()(command)
