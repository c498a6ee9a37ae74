# SPDX-License-Identifier: Apache-2.0
"""Options of optical flow."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.settings import option


@dataclass(frozen=True)
class FlowConfig:
    """Which optical flow, and when it is believed."""

    backend: str = option(
        'dis',
        'Optical flow method; raft needs torchvision, weights, and for live use a GPU.',
        choices=('dis', 'raft'),
    )
    preset: str = option(
        'fast',
        'Effort of DIS; slower is more accurate.',
        choices=('ultrafast', 'fast', 'medium'),
    )
    weights: str = option(
        '', 'Weights of RAFT: path of a safetensors file (docs/backends.md says how to get it).'
    )
    updates: int = option(
        12, 'How often RAFT refines its flow; fewer are faster, more do little.', ge=1, le=64
    )
    max_inconsistency: float = option(
        1.0,
        'Largest distance between a pixel and its way there and back again.',
        unit='pixels',
        ge=0.1,
        le=20.0,
    )
