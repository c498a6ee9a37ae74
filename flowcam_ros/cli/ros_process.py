# SPDX-License-Identifier: Apache-2.0
"""Starts the ROS side of the package in a process of its own; nothing here imports ROS."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from flowcam_ros.errors import FlowcamError


def replace_by_ros_module(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by ``python -m flowcam_ros.ros.<module>``.

    Raises:
        FlowcamError: there is no ROS for this Python.
    """
    require_ros()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, '-m', f'flowcam_ros.ros.{module}', *arguments])


def require_ros() -> None:
    """Raise FlowcamError, saying what to do, if this Python has no rclpy."""
    if importlib.util.find_spec('rclpy') is None:
        raise FlowcamError(
            f'{sys.executable} has no rclpy: source a ROS 2 installation '
            '(source /opt/ros/jazzy/setup.bash), or run make setup in a clone of flowcam_ros and '
            'use its .venv/bin/flowcam'
        )
