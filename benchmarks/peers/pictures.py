# SPDX-License-Identifier: Apache-2.0
"""Frames as the peers take them: undistorted, with depth registered to the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.geometry.rectify import Rectifier


@dataclass(frozen=True)
class Picture:
    """One undistorted frame.

    Attributes:
        image: grey or BGR.
        grey: the same, grey.
        matrix: (3, 3) camera matrix.
        depth: z in metres where the picture's pixels look, 0 where unknown; None without.
    """

    image: UInt8[np.ndarray, 'height width *channels']
    grey: UInt8[np.ndarray, 'height width']
    matrix: Float[np.ndarray, '3 3']
    depth: Float[np.ndarray, 'height width'] | None


class PictureMaker:
    """Makes pictures of frames; the look-up maps are made once for a camera.

    Args:
        registers: whether depth of another camera is brought into the picture. If not, it is
            taken as it is, pixel for pixel, wherever it has the picture's size.
    """

    def __init__(self, registers: bool = True) -> None:
        self._registers = registers
        self._rectifiers: dict[CameraModel, Rectifier] = {}

    def make(self, frame: Frame) -> Picture:
        """Undistort a frame, and register its depth.

        Raises:
            FrameRejected: an image has not the size of its camera.
        """
        rectifier = self._rectifier(frame.camera)
        image = rectifier.image(frame.image)
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        depth = None if frame.depth is None else self._registered(frame.depth, frame.camera)
        return Picture(image, grey, rectifier.camera.matrix, depth)

    def _rectifier(self, camera: CameraModel) -> Rectifier:
        if camera not in self._rectifiers:
            self._rectifiers[camera] = Rectifier(camera, camera.width, camera.height)
        return self._rectifiers[camera]

    def _registered(
        self, measured: DepthImage, camera: CameraModel
    ) -> Float[np.ndarray, 'height width']:
        depth = np.where(np.isfinite(measured.depth), measured.depth, 0).astype(np.float32)
        same_size = depth.shape == (camera.height, camera.width)
        if same_size and not self._registers:
            return self._rectifier(camera).depth(depth)
        rectifier = self._rectifier(measured.camera)
        depth = rectifier.depth(depth)
        registered = measured.camera == camera and np.array_equal(
            measured.color_from_depth, np.eye(4)
        )
        if registered:
            return depth
        moved = cv2.registerDepth(
            rectifier.camera.matrix,
            self._rectifier(camera).camera.matrix,
            np.zeros(5),
            measured.color_from_depth,
            depth,
            (camera.width, camera.height),
        )
        return np.where(np.isfinite(moved), moved, 0).astype(np.float32)
