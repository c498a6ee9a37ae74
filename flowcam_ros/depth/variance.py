# SPDX-License-Identifier: Apache-2.0
"""How far to trust single depth images: noise, slope within a pixel, and steps."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Neighbours that leave their common plane by less than this many standard deviations of the
# noise may do so from noise.
_NOISE_SIGMAS = np.float32(2.0)
_BEND = np.array([[0.5, -1.0, 0.5]], np.float32)
# The slope times the standard deviation of a position that is only known to the pixel.
_SLOPE = np.array([[-0.5, 0.0, 0.5]], np.float32) / np.sqrt(np.float32(12.0))

Map = Float[np.ndarray, 'height width']


def depth_variance(inverse: Map, noise: float, reach: int) -> Map:
    """Return the variance of inverse depth: noise, slope, and the size of steps nearby.

    Depths are looked up at the nearest pixel: half a pixel of slope may be wrong. On a plane,
    however steep, inverse depth is linear in the pixels; what its second difference has beyond
    noise is a step or a bend.

    Args:
        inverse: 1/z, 1/m (or a disparity in pixels); 0 where unknown.
        noise: standard deviation of ``inverse`` on a flat surface, in the same unit.
        reach: pixels from the two at a step to the farthest that it makes unsure.

    Returns:
        The variance; infinite where ``inverse`` is unknown.
    """
    known = (inverse > 0).view(np.uint8)
    bend_x, slope_x = _differences(inverse, known, _BEND, _SLOPE)
    bend_y, slope_y = _differences(inverse, known, _BEND.T, _SLOPE.T)
    np.maximum(np.abs(bend_x, out=bend_x), np.abs(bend_y, out=bend_y), out=bend_x)
    size = 2 * reach + 1
    variance: np.ndarray = cv2.dilate(bend_x, np.ones((size, size), np.uint8))
    variance -= _NOISE_SIGMAS * np.float32(noise)
    np.maximum(variance, np.float32(0.0), out=variance)
    variance *= variance
    variance += np.float32(noise**2)
    for slope in (slope_x, slope_y):
        variance += np.square(slope, out=slope)
    variance[known == 0] = np.inf
    return variance


def _differences(
    inverse: Map, known: UInt8[np.ndarray, 'height width'], *kernels: np.ndarray
) -> list[Map]:
    """Return the map filtered with each kernel; 0 where it meets an unknown pixel."""
    shape = np.ones(kernels[0].shape, np.uint8)
    whole = cv2.erode(known, shape, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    results: list[np.ndarray] = [cv2.filter2D(inverse, cv2.CV_32F, k) for k in kernels]
    for result in results:
        result *= whole
    return results
