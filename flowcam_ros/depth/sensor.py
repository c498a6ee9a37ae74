# SPDX-License-Identifier: Apache-2.0
"""Measured depth, brought into the colour image's pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.registration import Registration, reduced
from flowcam_ros.depth.variance import depth_variance
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.rectify import Rectifier

# Sensors blur and shift steps by a pixel or two: so far beside a step nothing is sure.
_REACH = 1


class SensorDepth:
    """The depth image that came with a frame."""

    scale_source = 'depth'
    every_frame = True

    def __init__(self, config: DepthConfig) -> None:
        self._config = config
        self._way: _Way | None = None

    def check(self, frame: PreparedFrame) -> None:
        """See DepthSource; depth of any size and camera fits."""

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Return the frame's depth on its own pixels; None if the frame came without.

        Depth errors of structured light, time of flight and stereo grow with the square of the
        depth, so their standard deviation in inverse depth is constant (``depth.noise``). At
        depth edges, where a pixel changes everything, the size of the step is added.
        """
        depth = frame.source.depth
        if depth is None:
            return None
        if self._way is None or not self._way.fits(depth, frame.camera):
            self._way = _Way(depth, frame.camera)
        z = self._way.rectifier.depth(_clean(depth.depth, self._config))
        inverse = np.divide(np.float32(1.0), z, out=np.zeros_like(z), where=z > 0)
        variance = depth_variance(inverse, self._config.noise, _REACH)
        inverse, variance = self._way.registration.move(inverse, variance)
        return DepthEstimate(frame.stamp_ns, frame.camera, inverse, variance, frame.image)


class _Way:
    """The look-up maps from one depth camera into one colour camera."""

    def __init__(self, depth: DepthImage, color: CameraModel) -> None:
        self._key = depth.camera, color, depth.color_from_depth.tobytes()
        size = reduced(depth.camera, color)
        self.rectifier = Rectifier(depth.camera, size.width, size.height)
        self.registration = Registration(self.rectifier.camera, color, depth.color_from_depth)

    def fits(self, depth: DepthImage, color: CameraModel) -> bool:
        return self._key == (depth.camera, color, depth.color_from_depth.tobytes())


def _clean(z: Float[np.ndarray, 'h w'], config: DepthConfig) -> Float[np.ndarray, 'h w']:
    known = (z >= config.min_range) & (z <= config.max_range)  # False for NaN
    return np.where(known, z, np.float32(0.0)).astype(np.float32, copy=False)
