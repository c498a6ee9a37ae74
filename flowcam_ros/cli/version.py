# SPDX-License-Identifier: Apache-2.0
"""``flowcam version``."""

from __future__ import annotations

from flowcam_ros import __version__


def version() -> None:
    """Print the version of this package."""
    print(f'flowcam_ros {__version__}')
