# SPDX-License-Identifier: Apache-2.0
"""Writes the options of the node as a commented ROS parameter file, or as a table for the docs.

``python -m flowcam_ros.odometry.parameter_file > config/odometry.yaml`` keeps that file true, and
with ``--table`` it prints what docs/interface.md holds between its two markers.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

import yaml

from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.settings import OptionInfo, describe

HEAD = """\
# All parameters of the odometry node with their defaults; copy what you want to change.
# Made from the options' declarations by: python -m flowcam_ros.odometry.parameter_file
# "while running" marks those that `ros2 param set` may change; the others are read at start.
"""
_WIDTH = 95


def parameter_file(cls: type = OdometryNodeConfig, head: str = HEAD) -> str:
    """Return the text of a parameter file with every option, its sentence and its default.

    Args:
        cls: the class of the options.
        head: comment at the beginning.
    """
    lines = [head + '/**:', '  ros__parameters:']
    section: list[str] = []
    for info in describe(cls):
        *groups, name = info.name.split('.')
        if groups != section or not groups:
            lines.append('')
        for depth, group in enumerate(groups):
            if section[: depth + 1] != groups[: depth + 1]:
                lines.append(f'{"  " * depth}    {group}:')
        section = groups
        indent = ' ' * (4 + 2 * len(groups))
        lines += _comment(info, indent)
        lines.append(f'{indent}{name}: {_scalar(info.default)}')
    return '\n'.join(lines) + '\n'


def parameter_table(cls: type = OdometryNodeConfig) -> str:
    """Return every option as a row of a Markdown table."""
    rows = ['| parameter | default | meaning |', '|---|---|---|']
    for info in describe(cls):
        mark = ' *' if info.dynamic else ''
        rows.append(f'| `{info.name}`{mark} | `{_scalar(info.default)}` | {info.sentence()} |')
    return '\n'.join(rows) + '\n'


def _comment(info: OptionInfo, indent: str) -> Iterator[str]:
    text = info.sentence() + (' [while running]' if info.dynamic else '')
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2, break_on_hyphens=False):
        yield f'{indent}# {line}'


def _scalar(value: object) -> str:
    """Return a YAML scalar of the value's own type."""
    if isinstance(value, str):
        return f"'{value}'"
    return yaml.safe_dump(value).removesuffix('\n').removesuffix('\n...')


if __name__ == '__main__':
    print(parameter_table() if '--table' in sys.argv else parameter_file(), end='')
