# SPDX-License-Identifier: Apache-2.0
"""Frames whose poses are known, and the points seen in them: what other frames are placed by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.se3 import Matrix4, inverse

# An observation this many of its standard deviations from where its point lies was a mistake, ...
_MAX_SIGMAS = 4.0
# ... and so is one this far off, pixels, however unsure it is.
_MAX_OFF_PX = 4.0


@dataclass(frozen=True)
class Anchor:
    """A frame with a pose and points.

    Attributes:
        stamp_ns: of the frame.
        world_from_camera: its pose.
        grey: its tracking picture.
        usable: where that shows the world; None means everywhere.
        points: (n, 3) seen in it, in the world.
        pixels: (n, 2) where the pose puts them in the picture: the patch there shows the point
            itself, without the error of its observation.
        sigma: (n,) of a coordinate of the observations, pixels.
    """

    stamp_ns: int
    world_from_camera: Matrix4
    grey: UInt8[np.ndarray, 'height width']
    usable: Bool[np.ndarray, 'height width'] | None
    points: Float[np.ndarray, 'n 3']
    pixels: Float[np.ndarray, 'n 2']
    sigma: Float[np.ndarray, ' n']


class Anchors:
    """The chosen frames as anchors, made one at a time.

    Args:
        pictures: their tracking pictures.
        camera: of the tracking pictures; it may have distortion that was found in them.
        stamps_ns: (k,) of the frames, increasing.
        world_from_camera: (k, 4, 4).
        positions: (p, 3) points in the world.
        point: (m,) which point was observed.
        frame: (m,) in which of the frames.
        pixel: (m, 2) where in the tracking picture.
        sigma: (m,) of a coordinate, pixels.
    """

    def __init__(
        self,
        pictures: Pictures,
        camera: CameraModel,
        stamps_ns: Int64[np.ndarray, ' k'],
        world_from_camera: Float[np.ndarray, 'k 4 4'],
        positions: Float[np.ndarray, 'p 3'],
        point: Int64[np.ndarray, ' m'],
        frame: Int64[np.ndarray, ' m'],
        pixel: Float[np.ndarray, 'm 2'],
        sigma: Float[np.ndarray, ' m'],
    ) -> None:
        self.camera = camera
        self.stamps_ns = stamps_ns
        self.world_from_camera = world_from_camera
        self._pictures = pictures
        self._positions = positions
        order = np.argsort(frame, kind='stable')
        self._point, self._pixel, self._sigma = point[order], pixel[order], sigma[order]
        self._ends = np.searchsorted(frame[order], np.arange(len(stamps_ns) + 1))

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def __getitem__(self, index: int) -> Anchor:
        """Read one anchor; points whose observation does not fit are left out."""
        seen = slice(self._ends[index], self._ends[index + 1])
        points = self._positions[self._point[seen]]
        pose = self.world_from_camera[index]
        camera_from_world = inverse(pose)
        local = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        pixels, sigma = project(self.camera, local), self._sigma[seen]
        off = np.linalg.norm(pixels - self._pixel[seen], axis=1)
        good = (local[:, 2] > 0) & (off < np.minimum(_MAX_SIGMAS * sigma, _MAX_OFF_PX))
        size = (self.camera.width - 1, self.camera.height - 1)
        good &= (pixels >= 0).all(1) & (pixels <= size).all(1)
        return Anchor(
            int(self.stamps_ns[index]),
            pose,
            self._pictures.grey(index),
            self._pictures.usable(index),
            points[good],
            pixels[good].astype(np.float32),
            sigma[good].astype(np.float32),
        )
