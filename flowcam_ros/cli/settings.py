# SPDX-License-Identifier: Apache-2.0
"""The estimator's options from a file and the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flowcam_ros.errors import UsageError
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.settings import build, describe, parse_assignments, read_yaml

# Parameters that every ROS node has, so that they may stand in a parameter file.
_ROS_PARAMETERS = ('use_sim_time', 'start_type_description_service')
_ROS_PREFIXES = ('qos_overrides.',)


def resolve_config(
    file: Path | None = None,
    assignments: Iterable[str] = (),
    depth_source: str | None = None,
) -> OdometryConfig:
    """Return the defaults changed by a file, then by ``key=value``, then by ``--depth``.

    A ROS parameter file may hold the node's options, too; they mean nothing here.

    Raises:
        ConfigError: the file cannot be read, or an option is unknown or out of range.
        UsageError: ``--depth`` and ``--set depth.source`` contradict each other.
    """
    values = read_options(file, 'odometry', OdometryNodeConfig, OdometryConfig)
    assigned = parse_assignments(assignments)
    values.update(assigned)
    if depth_source is not None:
        other = assigned.get('depth.source', depth_source)
        if other != depth_source:
            raise UsageError(f'--depth {depth_source} and --set depth.source={other} contradict')
        values['depth.source'] = depth_source
    return build(OdometryConfig, values)


def read_options(file: Path | None, node: str, node_class: type, own: type) -> dict[str, object]:
    """Return the options in a file, without those that mean something to a node only.

    Args:
        file: plain YAML or a ROS parameter file; None holds nothing.
        node: whose part of a parameter file counts.
        node_class: all options of that node.
        own: those that count here.

    Raises:
        ConfigError: the file cannot be read.
    """
    if file is None:
        return {}
    left = {info.name for info in describe(node_class)} | set(_ROS_PARAMETERS)
    left -= {info.name for info in describe(own)}
    return {
        name: value
        for name, value in read_yaml(file, node).items()
        if name not in left and not name.startswith(_ROS_PREFIXES)
    }
