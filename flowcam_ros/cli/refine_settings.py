# SPDX-License-Identifier: Apache-2.0
"""The options of a refinement from a file and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from flowcam_ros.cli.settings import read_options
from flowcam_ros.errors import UsageError
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.refine_node_config import RefineNodeConfig
from flowcam_ros.settings import build, parse_assignments

# Options that have a flag of their own.
_FLAGS = {
    '--intrinsics': 'intrinsics.mode',
    '--cache': 'cache.folder',
    '--no-cache': 'cache.folder',
    '--odometry': 'odometry',
    '--memory-gb': 'memory_gb',
    '--engine': 'windows.engine',
    '--rerun': 'export.rerun',
}


def resolve_refine_config(
    file: Path | None, assignments: Iterable[str], flags: Mapping[str, str | float | None]
) -> RefineRunConfig:
    """Return the defaults changed by a file, by ``key=value``, and by options with a flag.

    A ROS parameter file may hold the options of the node `refine`, too; they mean nothing here.

    Args:
        file: plain YAML or a ROS parameter file.
        assignments: of ``--set``.
        flags: what was given to flags that stand for an option; None where nothing was.

    Raises:
        ConfigError: the file cannot be read, or an option is unknown or out of range.
        UsageError: a flag and ``--set`` contradict each other.
    """
    values = read_options(file, 'refine', RefineNodeConfig, RefineRunConfig)
    assigned = parse_assignments(assignments)
    values.update(assigned)
    for flag, value in flags.items():
        if value is None:
            continue
        name = _FLAGS[flag]
        other = assigned.get(name, value)
        if other != value:
            raise UsageError(f'{flag} {value}'.rstrip() + f' and --set {name}={other} contradict')
        values[name] = value
    return build(RefineRunConfig, values)
