# SPDX-License-Identifier: Apache-2.0
"""Flow backends by name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.dis import DisFlow
from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.correspondence.raft import RaftFlow

FLOW_BACKENDS: dict[str, Callable[[FlowConfig, torch.device], FlowEstimator]] = {
    'dis': lambda config, _: DisFlow(config),
    'raft': RaftFlow,
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
