# SPDX-License-Identifier: Apache-2.0
"""Options of the dense depth of the result."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.settings import option


@dataclass(frozen=True)
class DenseConfig:
    """Depth maps of the chosen frames."""

    pixels: int = option(
        76_800, 'About how many pixels a depth map has.', unit='pixels', ge=1_000, le=4_000_000
    )
    neighbours: int = option(
        4, 'Frames against which each one is triangulated.', unit='frames', ge=1, le=32
    )
