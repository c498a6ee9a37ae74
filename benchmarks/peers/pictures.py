# SPDX-License-Identifier: Apache-2.0
"""Frames as the peers take them: undistorted, with depth registered to the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame


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
        self._maps: dict[CameraModel, tuple[np.ndarray, np.ndarray]] = {}

    def make_rgbd(self, frame: Frame) -> Picture:
        """As :meth:`make`, for a system that cannot do without depth.

        Raises:
            FrameRejected: the frame has no depth.
        """
        if frame.depth is None:
            raise FrameRejected('depth', 'the frame has no depth')
        return self.make(frame)

    def make(self, frame: Frame) -> Picture:
        """Undistort a frame, and register its depth."""
        camera = frame.camera
        image = self._undistorted(frame.image, camera, cv2.INTER_LINEAR)
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        depth = None if frame.depth is None else self._registered(frame.depth, camera)
        return Picture(image, grey, camera.matrix, depth)

    def _undistorted(self, image: np.ndarray, camera: CameraModel, method: int) -> np.ndarray:
        if not camera.is_distorted:
            return image
        if camera not in self._maps:
            fish_eye = camera.distortion_model == 'equidistant'
            lens = cv2.fisheye if fish_eye else cv2
            self._maps[camera] = lens.initUndistortRectifyMap(
                camera.matrix,
                np.array(camera.distortion),
                np.eye(3),
                camera.matrix,
                (camera.width, camera.height),
                cv2.CV_32FC1,
            )
        return cv2.remap(image, *self._maps[camera], method)

    def _registered(
        self, measured: DepthImage, camera: CameraModel
    ) -> Float[np.ndarray, 'height width']:
        depth = np.where(np.isfinite(measured.depth), measured.depth, 0).astype(np.float32)
        if depth.shape == (camera.height, camera.width) and not self._registers:
            return self._undistorted(depth, camera, cv2.INTER_NEAREST)
        depth = self._undistorted(depth, measured.camera, cv2.INTER_NEAREST)
        in_place = np.array_equal(measured.color_from_depth, np.eye(4))
        if in_place and measured.camera == camera:
            return depth
        moved = cv2.registerDepth(
            measured.camera.matrix,
            camera.matrix,
            np.zeros(5),
            measured.color_from_depth,
            depth,
            (camera.width, camera.height),
        )
        return np.where(np.isfinite(moved), moved, 0).astype(np.float32)
