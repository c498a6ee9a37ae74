# SPDX-License-Identifier: Apache-2.0
"""Options of the windows in which a long recording is optimised."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.settings import option


@dataclass(frozen=True)
class WindowConfig:
    """How a long recording is cut into windows, and where they are worked on."""

    frames: int = option(
        128,
        'Most chosen frames that are optimised together; a longer recording is cut into '
        'overlapping windows, which are joined afterwards.',
        unit='frames',
        ge=8,
        le=100000,
    )
    overlap: float = option(
        0.2,
        'How many of its frames a window shares with the next one.',
        unit='fraction of the window',
        ge=0.05,
        le=0.6,
    )
    engine: str = option(
        'local',
        'Windows one after the other, or many at once as tasks of Ray (needs ray).',
        choices=('local', 'ray'),
    )
