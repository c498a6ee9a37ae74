# SPDX-License-Identifier: Apache-2.0
"""Backends of flow and of point tracks by name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from flowcam_ros.correspondence.config import FlowConfig, TrackConfig
from flowcam_ros.correspondence.cotracker import CoTrackerTracks
from flowcam_ros.correspondence.dis import DisFlow
from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.correspondence.klt import KltTracks
from flowcam_ros.correspondence.raft import RaftFlow
from flowcam_ros.correspondence.tracks import TrackEstimator

FLOW_BACKENDS: dict[str, Callable[[FlowConfig, torch.device], FlowEstimator]] = {
    'dis': lambda config, _: DisFlow(config),
    'raft': RaftFlow,
}

TRACK_BACKENDS: dict[
    str, Callable[[TrackConfig, FlowEstimator, torch.device], TrackEstimator | None]
] = {
    'klt': lambda config, flow, _: KltTracks(config, flow),
    'cotracker': lambda config, _, device: CoTrackerTracks(config, device),
    'none': lambda *_: None,
}


def make_flow(config: FlowConfig, device: torch.device | None = None) -> FlowEstimator:
    """Return the flow backend that the configuration names.

    Args:
        config: the options of the flow.
        device: where backends that use torch compute; the CPU if not said.

    Raises:
        ConfigError: the backend lacks a package or its weights; says what to do.
    """
    return FLOW_BACKENDS[config.backend](config, device or torch.device('cpu'))


def make_tracks(
    config: TrackConfig, flow: FlowEstimator, device: torch.device | None = None
) -> TrackEstimator | None:
    """Return the track backend that the configuration names; None if that is ``none``.

    Args:
        config: the options of the tracks.
        flow: dense flow to start from, for those that want it.
        device: where backends that use torch compute; the CPU if not said.

    Raises:
        ConfigError: the backend lacks a package or its weights; says what to do.
    """
    return TRACK_BACKENDS[config.backend](config, flow, device or torch.device('cpu'))
