# SPDX-License-Identifier: Apache-2.0
"""From a frame as it came in to one the estimator works on: undistorted, of working size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.photometry import Evened, even_out
from flowcam_ros.geometry.rectify import Rectifier

# Optical flow works on pyramids of 8-pixel patches, the way back at half size; OpenCV's DIS raises
# below about 11 pixels.
MIN_IMAGE_SIZE = 32


@dataclass(frozen=True)
class PreparedFrame:
    """One undistorted frame of working size.

    Attributes:
        stamp_ns: stamp of the frame.
        grey: (height, width) uint8.
        even: the same with the light evened out; what is compared with other pictures.
        image: the same picture as it came, grey or BGR.
        camera: its undistorted intrinsics.
        usable: True where pixels show the world; None means everywhere.
        source: the frame it was made from, for measured depth and the right image.
    """

    stamp_ns: int
    grey: UInt8[np.ndarray, 'height width']
    even: Evened
    image: UInt8[np.ndarray, 'height width *channels']
    camera: CameraModel
    usable: Bool[np.ndarray, 'height width'] | None
    source: Frame


class FramePreparer:
    """Undistorts and resizes; the maps are made once per camera."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._rectifier: Rectifier | None = None
        self._camera: CameraModel | None = None

    def prepare(self, frame: Frame) -> PreparedFrame:
        """Return the frame undistorted and at working size.

        Raises:
            FrameRejected: the image is too small for optical flow.
        """
        camera = frame.camera
        if min(camera.width, camera.height) < MIN_IMAGE_SIZE:
            raise FrameRejected(
                'size',
                f'image of {camera.width}x{camera.height} pixels is too small; optical flow needs '
                f'at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE}',
            )
        rectifier = self._rectifier_for(camera)
        image = rectifier.image(frame.image)
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return PreparedFrame(
            frame.stamp_ns,
            grey,
            even_out(grey),
            image,
            rectifier.camera,
            self._usable(rectifier, frame),
            frame,
        )

    def _rectifier_for(self, camera: CameraModel) -> Rectifier:
        if self._rectifier is None or camera != self._camera:
            width, height = working_size(camera.width, camera.height, self._max_pixels)
            self._rectifier = Rectifier(camera, width, height)
            self._camera = camera
        return self._rectifier

    def _usable(
        self, rectifier: Rectifier, frame: Frame
    ) -> Bool[np.ndarray, 'height width'] | None:
        if frame.mask is not None:
            return rectifier.mask(frame.mask)
        return rectifier.valid if frame.camera.is_distorted else None


def working_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Return the size an image is reduced to: its own if it has at most ``max_pixels``."""
    scale = min(1.0, math.sqrt(max_pixels / (width * height)))
    return max(MIN_IMAGE_SIZE, round(width * scale)), max(MIN_IMAGE_SIZE, round(height * scale))
