# SPDX-License-Identifier: Apache-2.0
"""The options of a refinement from a file and the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flowcam_ros.cli.settings import read_options
from flowcam_ros.errors import UsageError
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.refine_node_config import RefineNodeConfig
from flowcam_ros.settings import build, parse_assignments


def resolve_refine_config(
    file: Path | None,
    assignments: Iterable[str],
    intrinsics: str | None,
    odometry: Path | None = None,
) -> RefineRunConfig:
    """Return the defaults changed by a file, by ``key=value``, then by options of their own.

    A ROS parameter file may hold the options of the node `refine`, too; they mean nothing here.

    Raises:
        ConfigError: the file cannot be read, or an option is unknown or out of range.
        UsageError: ``--intrinsics`` and ``--set intrinsics.mode`` contradict each other, or
            ``--odometry`` and ``--set odometry``.
    """
    values = read_options(file, 'refine', RefineNodeConfig, RefineRunConfig)
    assigned = parse_assignments(assignments)
    values.update(assigned)
    if intrinsics is not None:
        other = assigned.get('intrinsics.mode', intrinsics)
        if other != intrinsics:
            raise UsageError(
                f'--intrinsics {intrinsics} and --set intrinsics.mode={other} contradict'
            )
        values['intrinsics.mode'] = intrinsics
    if odometry is not None:
        if assigned.get('odometry', str(odometry)) != str(odometry):
            raise UsageError(
                f'--odometry {odometry} and --set odometry={assigned["odometry"]} contradict'
            )
        values['odometry'] = str(odometry)
    return build(RefineRunConfig, values)
