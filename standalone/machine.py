# SPDX-License-Identifier: Apache-2.0
"""What a machine must have before anything can be set up on it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sysconfig
from pathlib import Path


def missing_parts() -> list[str]:
    """Return one sentence for each thing that is missing, with what to do."""
    version = sysconfig.get_python_version()
    if platform.system() != 'Linux' or platform.machine() != 'x86_64':
        return [
            f'ROS 2 wheels exist for Linux on x86-64 only, not for {platform.system()} on '
            f'{platform.machine()}; use a ROS 2 installation and colcon instead (README)'
        ]
    found = [
        (
            importlib.util.find_spec('ensurepip') and importlib.util.find_spec('venv'),
            f'Python {version} cannot make environments: sudo apt install python{version}-venv',
        ),
        (
            Path(sysconfig.get_path('include'), 'Python.h').is_file(),
            f'the headers of Python {version} are missing: sudo apt install python{version}-dev',
        ),
        (
            shutil.which('c++') and shutil.which('cc'),
            'a C++ compiler is missing: sudo apt install build-essential',
        ),
    ]
    return [sentence for there, sentence in found if not there]
