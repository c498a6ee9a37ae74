# SPDX-License-Identifier: Apache-2.0
"""Depth of a rectified stereo pair by semi-global matching (Hirschmueller 2008) from OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.frame import StereoImage
from flowcam_ros.geometry.prepare import PreparedFrame

# Standard deviation of SGM's sub-pixel disparity where it is right.
_DISPARITY_SIGMA_PX = 0.3
_BLOCK = 5


class StereoDepth:
    """Semi-global matching on the working size; the pair must be rectified."""

    scale_source = 'stereo'
    every_frame = False

    def __init__(self, config: DepthConfig) -> None:
        self._config = config

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Return the depth of the left image; None if the frame came without a right one.

        Raises:
            FrameRejected: the right image does not fit the left one.
        """
        right = frame.source.right
        if right is None:
            return None
        grey = self._working_right(right, frame)
        focal_baseline = frame.camera.fx * right.baseline
        disparity = self._matcher(frame, focal_baseline).compute(frame.grey, grey)
        disparity = disparity.astype(np.float32) / np.float32(16.0)
        inverse = (disparity - _at_infinity(frame, right)) / np.float32(focal_baseline)
        known = (disparity > 0) & (inverse >= 1.0 / self._config.max_range)
        inverse = np.where(known, inverse, np.float32(0.0))
        sigma = np.float32(_DISPARITY_SIGMA_PX / focal_baseline)
        variance = np.where(known, sigma * sigma, np.float32(np.inf))
        return DepthEstimate(frame.stamp_ns, frame.camera, inverse, variance, frame.image)

    def _working_right(self, right: StereoImage, frame: PreparedFrame) -> np.ndarray:
        left = frame.source
        if right.image.shape[:2] != left.image.shape[:2]:
            raise FrameRejected(
                'stereo_size',
                f'right image of {right.image.shape[1]}x{right.image.shape[0]} pixels does not '
                f'fit the left one of {left.image.shape[1]}x{left.image.shape[0]}',
            )
        if left.camera.is_distorted or right.camera.is_distorted:
            raise FrameRejected(
                'stereo_unrectified',
                'stereo needs rectified images; put image_proc or stereo_image_proc in front and '
                'take its topics, which are named image_rect (P then counts, not K and D)',
            )
        image = right.image
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        size = (frame.camera.width, frame.camera.height)
        return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)

    def _matcher(self, frame: PreparedFrame, focal_baseline: float) -> cv2.StereoSGBM:
        nearest = focal_baseline / max(self._config.min_range, 1e-3)
        limit = min(nearest, 0.25 * frame.camera.width)
        disparities = max(16, 16 * int(np.ceil(limit / 16)))
        return cv2.StereoSGBM.create(
            minDisparity=0,
            numDisparities=disparities,
            blockSize=_BLOCK,
            P1=8 * _BLOCK**2,
            P2=32 * _BLOCK**2,
            disp12MaxDiff=1,
            uniquenessRatio=10,
            speckleWindowSize=80,
            speckleRange=2,
            mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
        )


def _at_infinity(frame: PreparedFrame, right: StereoImage) -> np.float32:
    """Return the disparity of points at infinity: the principal points of the pair may differ."""
    left = frame.source.camera
    return np.float32((left.cx - right.camera.cx) * frame.camera.width / left.width)
