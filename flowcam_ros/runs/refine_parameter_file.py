# SPDX-License-Identifier: Apache-2.0
"""Writes the options of the node `refine` as a commented ROS parameter file, or as a table.

``python -m flowcam_ros.runs.refine_parameter_file > config/refine.yaml`` keeps that file true, and
with ``--table`` it prints what docs/interface.md holds between its two markers.
"""

from __future__ import annotations

import sys

from flowcam_ros.odometry.parameter_file import parameter_file, parameter_table
from flowcam_ros.runs.refine_node_config import RefineNodeConfig

_HEAD = """\
# All parameters of the node `refine` with their defaults; copy what you want to change.
# Made from the options' declarations by: python -m flowcam_ros.runs.refine_parameter_file
"""


def refine_parameter_file() -> str:
    """Return the text of a parameter file with every option, its sentence and its default."""
    return parameter_file(RefineNodeConfig, _HEAD)


def refine_parameter_table() -> str:
    """Return every option as a row of a Markdown table."""
    return parameter_table(RefineNodeConfig)


if __name__ == '__main__':
    table = '--table' in sys.argv
    print(refine_parameter_table() if table else refine_parameter_file(), end='')
