# SPDX-License-Identifier: Apache-2.0
"""Options of the optimisation."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.settings import option


@dataclass(frozen=True)
class OptimizerConfig:
    """How long, how fast, and on how much at a time."""

    start_steps: int = option(
        100,
        'Steps that fit the network to the depth known at the start.',
        unit='steps',
        ge=0,
        le=10000,
    )
    start_rate: float = option(3e-3, 'Learning rate of those.', ge=1e-6, le=0.1)
    steps: int = option(120, 'Most steps on flow and tracks.', unit='steps', ge=0, le=100000)
    rate: float = option(1e-3, 'Learning rate of those.', ge=1e-6, le=0.1)
    patience: int = option(
        50, 'Steps without a lower loss after which it ends.', unit='steps', ge=1, le=100000
    )
    samples: int = option(
        16384, 'Correspondences of each kind in a step.', unit='links', ge=64, le=1000000
    )
    robust_share: float = option(
        0.004,
        'Errors beyond this count by their logarithm in the loss, not by their square.',
        unit='fraction of the root of the picture area',
        ge=0.0001,
        le=0.1,
    )
    flow_weight: float = option(
        0.3, 'Weight of the loss of dense flow; 0 computes none.', ge=0.0, le=1000.0
    )
    track_weight: float = option(1.0, 'Weight of the loss of point tracks.', ge=0.0, le=1000.0)
    match_weight: float = option(1.0, 'Weight of the loss of matched pairs.', ge=0.0, le=1000.0)
    chunk: int = option(
        16, 'Most frames that the network works on at a time.', unit='frames', ge=1, le=1024
    )
    held: int = option(
        64,
        'Most frames whose network activations are held; with more frames chunks are run twice.',
        unit='frames',
        ge=1,
        le=4096,
    )
