# SPDX-License-Identifier: Apache-2.0
"""Parameter files named on the command line, checked before rcl complains in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from rclpy.utilities import remove_ros_args

from flowcam_ros.errors import ConfigError
from flowcam_ros.settings import load_yaml


def check_parameter_files(args: Sequence[str]) -> None:
    """Check that every ``--params-file`` can be read and has the form of one.

    Raises:
        ConfigError: names the file and what is wrong with it.
    """
    for path in _parameter_files(args):
        try:
            content = load_yaml(path.read_text(encoding='utf-8'))
            complete = _has_parameters(content)
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, 'strerror', None) or str(error)
            raise ConfigError(f'{path}: cannot be read ({cause})') from error
        except RecursionError as error:
            raise ConfigError(f'{path}: an alias in it contains itself') from error
        except ConfigError as error:
            raise ConfigError(f'{path}: {error}') from error
        if not complete:
            raise ConfigError(
                f"{path}: not a ROS parameter file; it needs '/**:' (or the node's name), below "
                "that 'ros__parameters:', and below that the parameters"
            )


def check_no_other_arguments(args: Sequence[str]) -> None:
    """Check that nothing but ROS arguments follows the program's name.

    Raises:
        ConfigError: names the words that would have no effect.
    """
    others = remove_ros_args(args)[1:]
    if others:
        raise ConfigError(
            f'unknown arguments {" ".join(others)}; what is for ROS comes behind --ros-args'
        )


def _parameter_files(args: Sequence[str]) -> Iterator[Path]:
    for flag, value in pairwise(args):
        if flag == '--params-file':
            yield Path(value)


def _has_parameters(content: object) -> bool:
    """Whether somewhere below node names there is a mapping under ros__parameters."""
    if not isinstance(content, dict) or not content:
        return False
    return all(
        isinstance(value, dict) if name == 'ros__parameters' else _has_parameters(value)
        for name, value in content.items()
    )
