# SPDX-License-Identifier: Apache-2.0
"""Depth of a rectified stereo pair by semi-global matching (Hirschmueller 2008) from OpenCV."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.variance import depth_variance
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.frame import StereoImage
from flowcam_ros.geometry.photometry import NOISE_GRADIENT, image_noise
from flowcam_ros.geometry.prepare import PreparedFrame

_BLOCK = 5
# More disparities than this share of the width are not searched, however near things may be.
_MAX_DISPARITY = 0.25
# Error of the disparity, measured on rendered pairs with known depth: what remains with any
# texture, what weak texture adds (divided by the texture in units of the noise), pixels^2, and how
# far the matching blocks smear steps, pixels.
_SIGMA_PX = 0.18
_WEAK_TEXTURE = 0.01
_REACH = 2
# With less texture than this share of the noise, disparities are invented.
_MIN_TEXTURE = 0.1
_TEXTURE_WINDOW = 9
_LEAST_NOISE = 0.5  # grey values: rounding

Grey = UInt8[np.ndarray, 'height width']
Map = Float[np.ndarray, 'height width']


class StereoDepth:
    """Semi-global matching on the working size; the pair must be rectified.

    Matching takes longer than everything else about a frame, so only key frames are measured.
    """

    scale_source = 'stereo'
    every_frame = False

    def __init__(self, config: DepthConfig) -> None:
        self._config = config

    def check(self, frame: PreparedFrame) -> None:
        """See DepthSource; the right image must fit the left one."""
        left, right = frame.source, frame.source.right
        if right is None:
            return
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

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """Return the depth of the left image; None if the frame came without a right one.

        Raises:
            FrameRejected: the right image does not fit the left one.
        """
        self.check(frame)
        right = frame.source.right
        if right is None:
            return None
        grey = _working_right(right, frame)
        focal_baseline = frame.camera.fx * right.baseline
        search = self._search(frame, right)
        disparity = _matched(frame.grey, grey, search)
        inside = np.arange(frame.camera.width) >= disparity  # seen by the right camera
        texture = _texture(frame.grey)
        parallax = disparity - np.float32(search.infinity)
        farthest = focal_baseline / self._config.max_range
        known = (disparity >= search.first) & inside & (texture > _MIN_TEXTURE)
        known &= parallax >= max(farthest, 1e-3)
        parallax = np.where(known, parallax, np.float32(0.0))
        variance = depth_variance(parallax, _SIGMA_PX, _REACH)
        variance += np.float32(_WEAK_TEXTURE) / np.maximum(texture, np.float32(_MIN_TEXTURE))
        unit = np.float32(1.0 / focal_baseline)
        return DepthEstimate(
            frame.stamp_ns, frame.camera, parallax * unit, variance * unit**2, frame.image
        )

    def _search(self, frame: PreparedFrame, right: StereoImage) -> _Search:
        # The disparity of points at infinity: the principal points of the pair may differ.
        left = frame.source.camera
        infinity = (left.cx - right.camera.cx) * frame.camera.width / left.width
        nearest = frame.camera.fx * right.baseline / max(self._config.min_range, 1e-3)
        reach = min(nearest, _MAX_DISPARITY * frame.camera.width)
        first = math.floor(infinity)
        count = 16 * math.ceil(max(infinity + reach - first, 1.0) / 16)
        return _Search(infinity, first, count)


@dataclass(frozen=True)
class _Search:
    """Disparities to try, pixels.

    Attributes:
        infinity: that of points infinitely far away.
        first: the smallest.
        count: how many; a multiple of 16, which OpenCV wants.
    """

    infinity: float
    first: int
    count: int


def _matched(left: Grey, right: Grey, search: _Search) -> Map:
    """Return the disparity of the left image's pixels; below ``search.first`` where unknown."""
    matcher = cv2.StereoSGBM.create(
        minDisparity=search.first,
        numDisparities=search.count,
        blockSize=_BLOCK,
        P1=8 * _BLOCK**2,
        P2=32 * _BLOCK**2,
        disp12MaxDiff=1,
        preFilterCap=63,
        uniquenessRatio=15,
        speckleWindowSize=80,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # OpenCV gives no disparity to pixels that could not have the largest (or smallest) one:
    # without a margin that would be a quarter of the picture.
    before, after = max(search.first + search.count, 0), max(-search.first, 0)
    wide = [
        cv2.copyMakeBorder(image, 0, 0, before, after, cv2.BORDER_REPLICATE)
        for image in (left, right)
    ]
    disparity = matcher.compute(*wide)[:, before : before + left.shape[1]]
    return disparity.astype(np.float32) / np.float32(16.0)


def _texture(grey: Grey) -> Map:
    """Return the mean squared horizontal derivative beyond noise, in units of the noise's."""
    derivative: np.ndarray = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3, scale=1.0 / 8.0)
    derivative *= derivative
    window = (_TEXTURE_WINDOW, _TEXTURE_WINDOW)
    texture: np.ndarray = cv2.blur(derivative, window)
    texture /= np.float32(max(image_noise(grey), _LEAST_NOISE) ** 2)
    texture -= np.float32(NOISE_GRADIENT)
    return texture


def _working_right(right: StereoImage, frame: PreparedFrame) -> Grey:
    image = right.image
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    size = (frame.camera.width, frame.camera.height)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
