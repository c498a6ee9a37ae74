# SPDX-License-Identifier: Apache-2.0
"""Depth of one camera moved into the pixels of another."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Float, Int

from flowcam_ros.depth.pinholes import close_gaps, close_pinholes
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.se3 import Matrix4

# Nearer to the target camera's plane than this share of its distance, a point is at its side.
_AHEAD = 1e-3
# Reducing depth by less than this before it is moved is not worth the pixels lost.
_WORTH_REDUCING = 0.75
_HALF = np.uint64(32)  # bits
# So many rows at a time are worked on: what is small stays in the cache, and in the process.
_STRIP = 32
Map = Float[np.ndarray, 'source_height source_width']
Moved = Float[np.ndarray, 'height width']


class Registration:
    """Moves inverse depth and its variance from one pinhole camera into another.

    Cameras at one place: each target pixel looks up the pixel on its ray. Elsewhere: each pixel
    is projected, and the nearest surface wins. Depths are never mixed: a target pixel has the
    depth of one source pixel, or none where the source saw nothing; only gaps of one pixel within
    a surface are closed. The maps are made once; using it changes nothing in it.
    """

    def __init__(
        self, source: CameraModel, target: CameraModel, target_from_source: Matrix4
    ) -> None:
        self._splat: _Splat | None = None
        if not np.allclose(target_from_source, np.eye(4), atol=1e-6):
            between = _no_finer(target, source)
            self._splat = _Splat(source, between, target_from_source)
            source = between
        self._look_up = None if source == target else _LookUp(source, target)

    def move(self, inverse: Map, variance: Map) -> tuple[Moved, Moved]:
        """Return inverse depth and variance on the target's pixels.

        Args:
            inverse: 1/z on the source's pixels, 1/m; 0 where unknown.
            variance: of ``inverse``; infinite where unknown.
        """
        if self._splat is not None:
            inverse, variance = self._splat.move(inverse, variance)
        else:
            inverse, variance = close_pinholes(inverse, variance)
        if self._look_up is None:
            return inverse, variance
        known = self._look_up.of(inverse, 0.0)
        return known, self._look_up.of(variance, np.inf)


def _no_finer(target: CameraModel, source: CameraModel) -> CameraModel:
    """Return the target camera, or a coarser copy in which the source's pixels leave no gaps."""
    shrink_x = min(1.0, source.fx / target.fx)
    shrink_y = min(1.0, source.fy / target.fy)
    width = math.floor(target.width * shrink_x)
    height = math.floor(target.height * shrink_y)
    return target.resized(max(1, width), max(1, height))


class _LookUp:
    """Nearest pixel on the same ray, for two cameras at one place that look the same way."""

    def __init__(self, source: CameraModel, target: CameraModel) -> None:
        x = (np.arange(target.width) - target.cx) / target.fx * source.fx + source.cx
        y = (np.arange(target.height) - target.cy) / target.fy * source.fy + source.cy
        columns, rows = _nearest_or_outside(x, source.width), _nearest_or_outside(y, source.height)
        self._at = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.int16)
        self._no_fractions = np.zeros(0, np.uint16)

    def of(self, values: Map, outside: float) -> Moved:
        return cv2.remap(
            values,
            self._at,
            self._no_fractions,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=outside,
        )


class _Splat:
    """Projects every pixel; of those that meet in one target pixel the nearest wins.

    A pixel (x, y) with inverse depth w lies at (A + a w) / (C + c w), (B + b w) / (C + c w) in
    the target, with the inverse depth w / (C + c w): A, B and C are maps made once.
    """

    def __init__(
        self, source: CameraModel, target: CameraModel, target_from_source: Matrix4
    ) -> None:
        self._target = target
        turn = target.matrix @ target_from_source[:3, :3] @ np.linalg.inv(source.matrix)
        x, y = np.meshgrid(np.arange(source.width), np.arange(source.height))
        pixels = np.stack([x, y, np.ones_like(x)])
        self._fixed = np.tensordot(turn, pixels, 1).astype(np.float32)
        self._shift = (target.matrix @ target_from_source[:3, 3]).astype(np.float32)
        self._number = np.arange(x.size, dtype=np.uint64).reshape(x.shape)

    def move(self, inverse: Map, variance: Map) -> tuple[Moved, Moved]:
        width, height = self._target.width, self._target.height
        winner = np.zeros(width * height + 1, np.uint64)
        # the derivative of the new inverse depth by the old one
        gain = np.empty(inverse.shape, np.float32)
        for top in range(0, len(inverse), _STRIP):
            rows = slice(top, top + _STRIP)
            at, moved, gain[rows] = self._projected(inverse[rows], rows)
            # The bits of positive floats are ordered like the floats: the largest key is the
            # nearest point, and the lower half of the key says which one that was.
            keys = moved.view(np.uint32).astype(np.uint64)
            keys <<= _HALF
            keys |= self._number[rows]
            np.maximum.at(winner, at.ravel(), keys.ravel())
        image = winner[:-1].reshape(height, width)
        new = (image >> _HALF).astype(np.uint32).view(np.float32)
        origin = image.astype(np.uint32).astype(np.intp)
        new_variance = variance.take(origin)
        gain *= gain
        new_variance *= gain.take(origin)
        new_variance[new == 0] = np.inf
        return close_gaps(new, new_variance)

    def _projected(
        self, inverse: Float[np.ndarray, 'rows columns'], rows: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return target index (one past the last: outside), new inverse depth and its gain."""
        width, height = self._target.width, self._target.height
        (a, b, c), (shift_x, shift_y, shift_z) = self._fixed[:, rows], self._shift
        nearness = shift_z * inverse + c
        seen = (inverse > 0) & (nearness > _AHEAD)
        scale = np.float32(1.0) / np.where(seen, nearness, np.float32(1.0))
        u = _nearest_or_outside((shift_x * inverse + a) * scale, width)
        v = _nearest_or_outside((shift_y * inverse + b) * scale, height)
        seen &= (u >= 0) & (u < width) & (v >= 0) & (v < height)
        at = np.where(seen, v * np.int32(width) + u, np.int32(width * height))
        return at, inverse * scale, c * scale * scale


def _nearest_or_outside(position: Float[np.ndarray, '*n'], size: int) -> Int[np.ndarray, '*n']:
    """Return the nearest index, -1 or ``size`` outside, for any finite position."""
    limited = np.clip(position, -1.0, float(size))
    return np.rint(limited, out=limited).astype(np.int32)


def reduced(source: CameraModel, target: CameraModel) -> CameraModel:
    """Return the undistorted camera of the size to which depth can be reduced beforehand.

    Where many depth pixels fall into one of the target's, the nearest winning would mean the
    noisiest winning, and the others would be work for nothing.
    """
    pinhole = source.without_distortion()
    shrink = min(target.fx / source.fx, target.fy / source.fy)
    if shrink > _WORTH_REDUCING:
        return pinhole
    return pinhole.resized(
        max(1, round(source.width * shrink)), max(1, round(source.height * shrink))
    )
