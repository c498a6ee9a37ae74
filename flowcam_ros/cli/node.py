# SPDX-License-Identifier: Apache-2.0
"""``flowcam node``."""

from __future__ import annotations

from typing import Annotated

import typer

from flowcam_ros.errors import UsageError

NODES = {'odometry': 'odometry_node', 'refine': 'refine_node'}


def node(
    name: Annotated[str, typer.Argument(help=f'Which node: {", ".join(NODES)}.')],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar='ROS_ARGS',
            help='Passed to the node as they are, e.g. --ros-args -p base_frame:=base_link '
            '-r image:=/camera/image_raw --params-file config/odometry.yaml.',
        ),
    ] = None,
) -> None:
    """Start a node where there is no ros2 run."""
    from flowcam_ros.cli.ros_process import replace_by_ros_module

    if name not in NODES:
        raise UsageError(f'there is no node {name!r}; known: {", ".join(NODES)}')
    replace_by_ros_module(NODES[name], arguments or [])
