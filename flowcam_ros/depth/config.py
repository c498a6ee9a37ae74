# SPDX-License-Identifier: Apache-2.0
"""Options of depth sources."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.errors import ConfigError
from flowcam_ros.settings import option


@dataclass(frozen=True)
class DepthConfig:
    """Where depth comes from, and when it is believed."""

    source: str = option(
        'auto',
        'auto: measured depth if the input has it, else a stereo pair, else motion alone; none: '
        'motion alone, even where depth is measured.',
        choices=('auto', 'sensor', 'stereo', 'none'),
    )
    min_range: float = option(0.1, 'Nearer measured depth is ignored.', unit='m', ge=0.0, le=100.0)
    max_range: float = option(
        20.0, 'Farther measured depth is ignored.', unit='m', ge=0.1, le=10000.0
    )
    noise: float = option(
        0.0025,
        'Standard deviation of measured depth at 1 m; it grows with the square of the depth.',
        unit='m',
        ge=0.0001,
        le=0.5,
    )
    min_valid: float = option(
        0.05,
        'Share of pixels that must have depth; less is DEGRADED or LOST for depth_invalid.',
        ge=0.0,
        le=1.0,
    )

    def __post_init__(self) -> None:
        if self.min_range >= self.max_range:
            raise ConfigError(
                f'depth.min_range: {self.min_range:g} is not below depth.max_range '
                f'{self.max_range:g}, so no depth would be left'
            )
