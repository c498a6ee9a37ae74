# SPDX-License-Identifier: Apache-2.0
"""Installs the files that lie beside the code; pyproject.toml says everything else."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
SHARED = ('config', 'launch', 'rviz')


def shared_files() -> list[tuple[str, list[str]]]:
    """Return (destination, files) for what ROS looks up below ``share/flowcam_ros``."""
    found = []
    for folder in SHARED:
        files = sorted(str(p.relative_to(HERE)) for p in (HERE / folder).glob('*.*'))
        if files:
            found.append((f'share/flowcam_ros/{folder}', files))
    return found


setup(data_files=shared_files())
