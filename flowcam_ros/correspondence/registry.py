# SPDX-License-Identifier: Apache-2.0
"""Flow backends by name."""

from __future__ import annotations

from collections.abc import Callable

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.dis import DisFlow
from flowcam_ros.correspondence.flow import FlowEstimator

FLOW_BACKENDS: dict[str, Callable[[FlowConfig], FlowEstimator]] = {'dis': DisFlow}


def make_flow(config: FlowConfig) -> FlowEstimator:
    """Return the flow backend that the configuration names."""
    return FLOW_BACKENDS[config.backend](config)
