# SPDX-License-Identifier: Apache-2.0
"""Lets a process send and receive images without loss; to be called before ``rclpy.init()``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import flowcam_ros
from flowcam_ros.errors import FlowcamError

PROFILE = Path('config') / 'fastdds_images.xml'
# Fast DDS reads either; the first is the older name, which every version knows.
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def use_image_transport_profile() -> Path | None:
    """Give Fast DDS shared memory that holds images; child processes inherit it.

    Returns:
        The profile that is now in force; None if the user has set one, which then holds.

    Raises:
        FlowcamError: the installation lacks the profile.
    """
    use_wheels_as_ament_prefix()
    if any(os.environ.get(variable) for variable in PROFILE_VARIABLES):
        return None
    profile = share_folder() / PROFILE
    if not profile.is_file():
        raise FlowcamError(
            f'{profile} is missing, without which images are lost between processes: install '
            f'flowcam_ros again, or set {PROFILE_VARIABLES[0]} to a profile of your own'
        )
    os.environ[PROFILE_VARIABLES[0]] = str(profile)
    return profile


def use_wheels_as_ament_prefix() -> None:
    """Let ament find packages that pip installed; a sourced ROS installation holds."""
    if not os.environ.get('AMENT_PREFIX_PATH') and _has_ament_index(Path(sys.prefix)):
        os.environ['AMENT_PREFIX_PATH'] = sys.prefix


def share_folder() -> Path:
    """Return the folder that holds config/, launch/ and rviz/: the checkout or an installation.

    Raises:
        FlowcamError: there is none.
    """
    code = Path(flowcam_ros.__file__).parent
    if (code.parent / 'package.xml').is_file():
        return code.parent
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    folders = [Path(prefix) / 'share' / 'flowcam_ros' for prefix in prefixes if prefix]
    for folder in folders:
        if (folder / 'config').is_dir():
            return folder
    raise FlowcamError(
        f'the files of flowcam_ros are in none of {", ".join(map(str, folders))}: source the '
        'workspace it was built in (source install/setup.bash), or install it again'
    )


def _has_ament_index(prefix: Path) -> bool:
    return (prefix / 'share' / 'ament_index').is_dir()
