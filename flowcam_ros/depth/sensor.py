# SPDX-License-Identifier: Apache-2.0
"""Measured depth, brought into the colour image's pixels."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.registration import Registration, reduced
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.rectify import Rectifier

# Neighbours that leave their common plane by less than this many standard deviations of the
# noise may do so from noise.
_NOISE_SIGMAS = np.float32(2.0)
_ACROSS = np.array([[0.5, -1.0, 0.5]], np.float32)


class SensorDepth:
    """The depth image that came with a frame."""

    scale_source = 'depth'
    every_frame = True

    def __init__(self, config: DepthConfig) -> None:
        self._config = config
        self._way: _Way | None = None

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
        variance = depth_variance(inverse, self._config.noise)
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


def depth_variance(inverse: Float[np.ndarray, 'h w'], noise: float) -> Float[np.ndarray, 'h w']:
    """Return the variance of inverse depth: sensor noise, and steps within two pixels.

    On a plane, however steep, inverse depth is linear in the pixels; what its second difference
    has beyond noise is a step or a bend. Sensors blur and shift steps by a pixel or two.

    Args:
        inverse: 1/z, 1/m; 0 where unknown.
        noise: standard deviation of ``inverse`` on a flat surface.
    """
    known = (inverse > 0).view(np.uint8)
    step = cv2.max(_bend(inverse, known, _ACROSS), _bend(inverse, known, _ACROSS.T))
    excess: np.ndarray = cv2.dilate(step, np.ones((3, 3), np.uint8))
    excess -= _NOISE_SIGMAS * np.float32(noise)
    np.maximum(excess, np.float32(0.0), out=excess)
    excess *= excess
    excess += np.float32(noise**2)
    excess[known == 0] = np.inf
    return excess


def _bend(
    inverse: Float[np.ndarray, 'h w'],
    known: UInt8[np.ndarray, 'h w'],
    kernel: Float[np.ndarray, 'rows columns'],
) -> Float[np.ndarray, 'h w']:
    """Return by how much each pixel leaves the mean of two neighbours; 0 where one is unknown."""
    bend = cv2.filter2D(inverse, cv2.CV_32F, kernel)
    np.abs(bend, out=bend)
    shape = np.ones(kernel.shape, np.uint8)
    whole = cv2.erode(known, shape, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.copyTo(bend, whole)
