# SPDX-License-Identifier: Apache-2.0
"""Options of the choice of frames and of what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.settings import option


@dataclass(frozen=True)
class FrameChoiceConfig:
    """Which frames of a recording take part in the optimisation."""

    step: float = option(
        0.012,
        'Motion of the picture from one chosen frame to the next, median over its pixels.',
        unit='share of the width',
        ge=0.001,
        le=0.5,
    )
    max_frames: int = option(
        400,
        'At most so many frames are chosen; a longer recording gets larger steps.',
        unit='frames',
        ge=2,
        le=100000,
    )


@dataclass(frozen=True)
class FrameStoreConfig:
    """What is kept of the chosen frames."""

    max_pixels: int = option(
        1_000_000,
        'Larger pictures are reduced to this before points are followed.',
        unit='pixels',
        ge=10_000,
        le=20_000_000,
    )
    pixels: int = option(
        20_480,
        'About how many pixels the depth network sees; more is sharper and slower.',
        unit='pixels',
        ge=2_048,
        le=2_000_000,
    )
