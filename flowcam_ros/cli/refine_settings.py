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
    memory_gb: float | None = None,
    engine: str | None = None,
) -> RefineRunConfig:
    """Return the defaults changed by a file, then by ``key=value``, then by options of their own.

    A ROS parameter file may hold the options of the node `refine`, too; they mean nothing here.

    Raises:
        ConfigError: the file cannot be read, or an option is unknown or out of range.
        UsageError: such an option and ``--set`` contradict each other.
    """
    values = read_options(file, 'refine', RefineNodeConfig, RefineRunConfig)
    assigned = parse_assignments(assignments)
    values.update(assigned)
    named = (
        ('--intrinsics', 'intrinsics.mode', intrinsics),
        ('--memory-gb', 'memory_gb', memory_gb),
        ('--engine', 'windows.engine', engine),
    )
    for option, key, value in named:
        if value is None:
            continue
        other = assigned.get(key, value)
        if other != value:
            raise UsageError(f'{option} {value} and --set {key}={other} contradict')
        values[key] = value
    return build(RefineRunConfig, values)
