# SPDX-License-Identifier: Apache-2.0
"""How far to trust single depth images: noise everywhere, and steps where there are any."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Neighbours that leave their common plane by less than this many standard deviations of the
# noise may do so from noise.
_NOISE_SIGMAS = np.float32(2.0)
_ACROSS = np.array([[0.5, -1.0, 0.5]], np.float32)

Map = Float[np.ndarray, 'height width']


def depth_variance(inverse: Map, noise: float, reach: int) -> Map:
    """Return the variance of inverse depth: noise, and the size of steps nearby.

    On a plane, however steep, inverse depth is linear in the pixels; what its second difference
    has beyond noise is a step or a bend.

    Args:
        inverse: 1/z, 1/m (or a disparity in pixels); 0 where unknown.
        noise: standard deviation of ``inverse`` on a flat surface, in the same unit.
        reach: pixels from the two at a step to the farthest that it makes unsure.

    Returns:
        The variance; infinite where ``inverse`` is unknown.
    """
    known = (inverse > 0).view(np.uint8)
    step = cv2.max(_bend(inverse, known, _ACROSS), _bend(inverse, known, _ACROSS.T))
    size = 2 * reach + 1
    excess: np.ndarray = cv2.dilate(step, np.ones((size, size), np.uint8))
    excess -= _NOISE_SIGMAS * np.float32(noise)
    np.maximum(excess, np.float32(0.0), out=excess)
    excess *= excess
    excess += np.float32(noise**2)
    excess[known == 0] = np.inf
    return excess


def _bend(
    inverse: Float[np.ndarray, 'h w'],
    known: UInt8[np.ndarray, 'h w'],
    kernel: Float[np.ndarray, 'rows columns'],
) -> Float[np.ndarray, 'h w']:
    """Return by how much each pixel leaves the mean of two neighbours; 0 where one is unknown."""
    bend = cv2.filter2D(inverse, cv2.CV_32F, kernel)
    np.abs(bend, out=bend)
    shape = np.ones(kernel.shape, np.uint8)
    whole = cv2.erode(known, shape, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.copyTo(bend, whole)
