# SPDX-License-Identifier: Apache-2.0
"""Undistortion and resizing in one look-up per image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import distort

# A source position no image has, so that the look-up gives the border value there.
_NOWHERE = -16.0


class Rectifier:
    """Turns images of one camera into undistorted ones of a given size.

    The look-up maps are made once. The undistorted camera keeps the focal length and the
    principal point (scaled with the image), so ``camera`` is exact. Using it changes nothing in
    it: threads may share one.

    Attributes:
        camera: undistorted intrinsics of the images that come out.
        valid: (height, width) True where the source image shows the pixel.
    """

    camera: CameraModel
    valid: Bool[np.ndarray, 'height width']

    def __init__(self, camera: CameraModel, output_width: int, output_height: int) -> None:
        self._source = camera
        self._reduced = camera
        self.camera = camera.without_distortion().resized(output_width, output_height)
        self.valid = np.ones((output_height, output_width), bool)
        self._keeps_size = (output_width, output_height) == (camera.width, camera.height)
        if camera.is_distorted:
            self._make_maps()

    def _make_maps(self) -> None:
        bent = _distorted_points(self.camera, self._source)
        self._reduced = _reduced_source(self._source, self.camera)
        self.valid = _inside(self._source, bent) & _unfolded(self.camera, bent)
        self._smooth_maps = _fixed_point(self._reduced, bent, self.valid, nearest=False)
        self._nearest_maps = _fixed_point(self._source, bent, self.valid, nearest=True)

    def image(
        self, image: UInt8[np.ndarray, 'height width *channels']
    ) -> UInt8[np.ndarray, 'output_height output_width *channels']:
        """Return the picture undistorted and resized; black outside the source.

        The very same array comes back when there is nothing to do.

        Raises:
            FrameRejected: the image has not the size of the camera.
        """
        self._check_size(image)
        if not self._source.is_distorted:
            return image if self._keeps_size else _resize(image, self.camera)
        if self._reduced is not self._source:
            image = _resize(image, self._reduced)
        return cv2.remap(image, *self._smooth_maps, cv2.INTER_LINEAR)

    def depth(
        self, depth: Float[np.ndarray, 'height width']
    ) -> Float[np.ndarray, 'output_height output_width']:
        """Return depth undistorted and resized by its nearest neighbours; 0 outside the source.

        Depths are never mixed: between a near and a far surface there is nothing.

        Raises:
            FrameRejected: the depth image has not the size of the camera.
        """
        return self._nearest(depth)

    def mask(
        self, mask: Bool[np.ndarray, 'height width']
    ) -> Bool[np.ndarray, 'output_height output_width']:
        """Return a mask undistorted and resized by its nearest neighbours; False outside.

        Raises:
            FrameRejected: the mask has not the size of the camera.
        """
        if self._keeps_size and not self._source.is_distorted:
            self._check_size(mask)
            return mask
        return self._nearest(mask.astype(np.uint8)) != 0

    def _nearest(self, values: np.ndarray) -> np.ndarray:
        self._check_size(values)
        if self._source.is_distorted:
            return cv2.remap(values, *self._nearest_maps, cv2.INTER_NEAREST)
        if self._keeps_size:
            return values
        size = (self.camera.width, self.camera.height)
        # Not INTER_NEAREST: that one is off by half a source pixel.
        return cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT)

    def _check_size(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        if (width, height) != (self._source.width, self._source.height):
            raise FrameRejected(
                'size',
                f'image of {width}x{height} pixels does not fit its camera of '
                f'{self._source.width}x{self._source.height}; check that both come from the same '
                'source',
            )


def _resize(image: np.ndarray, camera: CameraModel) -> np.ndarray:
    height, width = image.shape[:2]
    shrinks = camera.width <= width and camera.height <= height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (camera.width, camera.height), interpolation=method)


def _distorted_points(target: CameraModel, source: CameraModel) -> Float[np.ndarray, 'h w 2']:
    """Return, in normalised points, where the lens of ``source`` puts each pixel of ``target``."""
    x = (np.arange(target.width) - target.cx) / target.fx
    y = (np.arange(target.height) - target.cy) / target.fy
    return distort(source, np.stack(np.meshgrid(x, y), axis=-1))


def _reduced_source(source: CameraModel, target: CameraModel) -> CameraModel:
    """Return the size the source is averaged to first, so that a strong reduction has no moire."""
    factor = min(source.width // target.width, source.height // target.height)
    if factor < 2:
        return source
    return source.resized(source.width // factor, source.height // factor)


def _pixels(camera: CameraModel, bent: Float[np.ndarray, 'h w 2']) -> Float[np.ndarray, 'h w 2']:
    return bent * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def _inside(camera: CameraModel, bent: Float[np.ndarray, 'h w 2']) -> Bool[np.ndarray, 'h w']:
    x, y = np.moveaxis(_pixels(camera, bent), -1, 0)
    return (x >= 0) & (x <= camera.width - 1) & (y >= 0) & (y <= camera.height - 1)


def _unfolded(camera: CameraModel, bent: Float[np.ndarray, 'h w 2']) -> Bool[np.ndarray, 'h w']:
    """Return the pixels around the centre up to where the distortion polynomial turns back.

    Beyond that rim the polynomial leads into the picture a second time, mirrored.
    """
    if min(bent.shape[:2]) < 2:
        return np.ones(bent.shape[:2], bool)
    with np.errstate(over='ignore', invalid='ignore'):
        down, right = np.gradient(bent, axis=(0, 1))
        area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    _, parts = cv2.connectedComponents((area > 0).astype(np.uint8), connectivity=4)
    column = int(np.clip(round(camera.cx), 0, camera.width - 1))
    row = int(np.clip(round(camera.cy), 0, camera.height - 1))
    return parts == parts[row, column]


def _fixed_point(
    camera: CameraModel,
    bent: Float[np.ndarray, 'h w 2'],
    valid: Bool[np.ndarray, 'h w'],
    *,
    nearest: bool,
) -> tuple[np.ndarray, Any]:
    """Return the look-up maps in the integer form that OpenCV reads fastest."""
    limit = (camera.width - 1, camera.height - 1)
    # The rim of a reduced source lies up to half a pixel outside its outermost centres.
    pixels = np.clip(_pixels(camera, bent), 0, limit)
    pixels = np.where(valid[..., None], pixels, _NOWHERE).astype(np.float32)
    return cv2.convertMaps(pixels[..., 0], pixels[..., 1], cv2.CV_16SC2, nninterpolation=nearest)
