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


@dataclass(frozen=True)
class PairConfig:
    """Which pictures are compared by features, and when they see the same place."""

    features: int = option(
        3000,
        'Most features of a picture; more hold on to weak texture and cost by their square.',
        unit='features',
        ge=100,
        le=20000,
    )
    ratio: float = option(
        0.85,
        'A match must be this much nearer than the second nearest; less is stricter.',
        unit='fraction of the distance',
        ge=0.3,
        le=1.0,
    )
    min_matches: int = option(
        20,
        'Fewest matches on common epipolar lines for two pictures to see the same place.',
        unit='matches',
        ge=8,
        le=1000,
    )
    neighbours: int = option(
        4, 'Each picture is compared with this many after it.', unit='pictures', ge=1, le=100
    )
    wider_steps: int = option(
        2,
        'Wider pairs in time: 1 adds those twice as far as the neighbours reach, 2 also four '
        'times as far, and so on.',
        ge=0,
        le=10,
    )
    loop_candidates: int = option(
        6,
        'Each picture is compared with this many that look alike, wherever they are; 0 closes no '
        'loops.',
        unit='pictures',
        ge=0,
        le=200,
    )


@dataclass(frozen=True)
class TrackConfig:
    """How points are followed from picture to picture."""

    backend: str = option(
        'klt',
        'Method; cotracker needs the package of its authors, weights and a GPU, none follows no '
        'points.',
        choices=('klt', 'cotracker', 'none'),
    )
    points: int = option(
        1500, 'About how many points are followed at a time.', unit='points', ge=50, le=20000
    )
    max_gap: float = option(
        1.0,
        'Largest distance between a point and its way to the next picture and back again.',
        unit='pixels',
        ge=0.1,
        le=20.0,
    )
    weights: str = option(
        '',
        'Weights of CoTracker: path of a safetensors file (docs/backends.md says how to get it).',
    )
