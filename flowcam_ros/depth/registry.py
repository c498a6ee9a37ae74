# SPDX-License-Identifier: Apache-2.0
"""Depth sources by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.sensor import SensorDepth
from flowcam_ros.depth.source import DepthSource
from flowcam_ros.depth.stereo import StereoDepth
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.frame import Frame

DEPTH_SOURCES: dict[str, Callable[[DepthConfig], DepthSource]] = {
    'sensor': SensorDepth,
    'stereo': StereoDepth,
}


def choose_source(config: DepthConfig, frame: Frame) -> DepthSource | None:
    """Return the measuring source for a stream that begins with ``frame``; None: motion alone.

    Raises:
        FrameRejected: the configured source needs an image that the frame lacks.
    """
    has = {'sensor': frame.depth is not None, 'stereo': frame.right is not None}
    if config.source == 'auto':
        name = next((name for name, present in has.items() if present), 'none')
    else:
        name = config.source
    if name == 'none':
        return None
    if not has[name]:
        needed = {'sensor': 'depth image', 'stereo': 'right image'}[name]
        raise FrameRejected(
            'depth_missing',
            f'depth.source is {name!r} but the frame came without a {needed}; give one, or set '
            "depth.source to 'none' for motion alone",
        )
    return DEPTH_SOURCES[name](config)
