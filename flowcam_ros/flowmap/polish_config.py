# SPDX-License-Identifier: Apache-2.0
"""Options of the bundle adjustment."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.settings import option


@dataclass(frozen=True)
class PolishConfig:
    """The adjustment of poses, lens and points that ends the optimisation."""

    steps: int = option(30, 'Most steps of each of its parts.', unit='steps', ge=1, le=1000)
    observations: int = option(
        1_200_000,
        'Most observations of points that are adjusted together; of a longer recording, one of '
        'two points takes part, or of three, and so on.',
        ge=10_000,
        le=10**9,
    )
    radial_sigma: float = option(
        0.2, 'How large the two radial terms of a lens are expected to be.', ge=1e-4, le=10.0
    )
    centre_sigma: float = option(
        0.02,
        'How far the principal point is expected from where it is believed, if it is refined.',
        unit='fraction of the longer side',
        ge=1e-5,
        le=1.0,
    )
