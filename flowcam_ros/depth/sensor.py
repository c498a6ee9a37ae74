# SPDX-License-Identifier: Apache-2.0
"""Measured depth, brought into the colour image's pixels."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.rectify import Rectifier


class SensorDepth:
    """The depth image that came with a frame."""

    scale_source = 'depth'
    every_frame = True

    def __init__(self, config: DepthConfig) -> None:
        self._config = config
        self._rectifier: Rectifier | None = None
        self._camera: CameraModel | None = None

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Return the frame's depth on its own pixels; None if the frame came without.

        Depth errors of structured light, time of flight and stereo grow with the square of the
        depth, so their standard deviation in inverse depth is constant (``depth.noise``). At
        depth edges, where one pixel changes everything, the spread of the neighbours is added.
        """
        depth = frame.source.depth
        if depth is None:
            return None
        if self._rectifier is None or depth.camera != self._camera:
            self._rectifier = Rectifier(depth.camera, depth.camera.width, depth.camera.height)
            self._camera = depth.camera
        z = self._rectifier.depth(_clean(depth.depth, self._config))
        z = _registered(z, self._rectifier.camera, depth.color_from_depth, frame.camera)
        inverse = np.divide(np.float32(1.0), z, out=np.zeros_like(z), where=z > 0)
        variance = _variance(inverse, self._config.noise)
        return DepthEstimate(frame.stamp_ns, frame.camera, inverse, variance, frame.image)


def _clean(z: Float[np.ndarray, 'h w'], config: DepthConfig) -> Float[np.ndarray, 'h w']:
    known = (z >= config.min_range) & (z <= config.max_range)  # False for NaN
    return np.where(known, z, np.float32(0.0)).astype(np.float32, copy=False)


def _variance(inverse: Float[np.ndarray, 'h w'], noise: float) -> Float[np.ndarray, 'h w']:
    """Return the variance of inverse depth from sensor noise and the spread of the neighbours."""
    kernel = np.ones((3, 3), np.uint8)
    known = inverse > 0
    largest = cv2.dilate(inverse, kernel)
    smallest = cv2.erode(np.where(known, inverse, np.float32(1e6)), kernel)
    half_spread = 0.5 * (largest - smallest)
    variance = np.float32(noise**2) + half_spread * half_spread
    return np.where(known, variance, np.float32(np.inf))


def _registered(
    z: Float[np.ndarray, 'h w'],
    source: CameraModel,
    color_from_depth: Float[np.ndarray, '4 4'],
    target: CameraModel,
) -> Float[np.ndarray, 'height width']:
    """Move depth into the pixels of the colour camera ``target``."""
    if np.allclose(color_from_depth, np.eye(4)):
        return _resampled(z, source, target)
    return _splatted(z, source, color_from_depth, target)


def _resampled(
    z: Float[np.ndarray, 'h w'], source: CameraModel, target: CameraModel
) -> Float[np.ndarray, 'height width']:
    """Depth of two cameras at one place: each colour pixel looks up the depth pixel on its ray."""
    if source == target:
        return z
    x = (np.arange(target.width) - target.cx) / target.fx * source.fx + source.cx
    y = (np.arange(target.height) - target.cy) / target.fy * source.fy + source.cy
    columns, rows = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    inside_x, inside_y = (
        (columns >= 0) & (columns < source.width),
        (rows >= 0) & (rows < source.height),
    )
    result = z[
        np.clip(rows, 0, source.height - 1)[:, None],
        np.clip(columns, 0, source.width - 1),
    ]
    result[~inside_y] = 0.0
    result[:, ~inside_x] = 0.0
    return result


def _splatted(
    z: Float[np.ndarray, 'h w'],
    source: CameraModel,
    color_from_depth: Float[np.ndarray, '4 4'],
    target: CameraModel,
) -> Float[np.ndarray, 'height width']:
    """Depth of a camera elsewhere: project each point, the nearest wins, close pinholes."""
    rows, columns = np.nonzero(z)
    distance = z[rows, columns].astype(np.float64)
    rays = np.stack(
        [
            (columns - source.cx) / source.fx,
            (rows - source.cy) / source.fy,
            np.ones(len(rows)),
        ]
    )
    points = color_from_depth[:3, :3] @ (rays * distance) + color_from_depth[:3, 3:]
    ahead = points[2] > 1e-3
    x, y, distance = points[0][ahead], points[1][ahead], points[2][ahead]
    u = np.rint(target.fx * x / distance + target.cx).astype(np.intp)
    v = np.rint(target.fy * y / distance + target.cy).astype(np.intp)
    inside = (u >= 0) & (v >= 0) & (u < target.width) & (v < target.height)
    nearest = np.full(target.width * target.height, np.inf, np.float32)
    at = v[inside] * target.width + u[inside]
    np.minimum.at(nearest, at, distance[inside].astype(np.float32))
    depth = nearest.reshape(target.height, target.width)
    beside = cv2.erode(depth, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    result = np.where(np.isinf(depth), beside, depth)
    result[np.isinf(result)] = 0.0
    return result
