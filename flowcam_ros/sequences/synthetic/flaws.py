# SPDX-License-Identifier: Apache-2.0
"""What real cameras add to the truth: noise, other brightness, holes in the depth."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Holes in measured depth are patches of about this many pixels across.
_HOLE_SIZE = 12


def with_noise(
    image: UInt8[np.ndarray, 'h w *c'], sigma: float, rng: np.random.Generator
) -> UInt8[np.ndarray, 'h w *c']:
    """Return the image with Gaussian noise of ``sigma`` grey levels."""
    noisy = rng.standard_normal(image.shape, np.float32)
    noisy *= sigma
    noisy += image
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def with_brightness(
    image: UInt8[np.ndarray, 'h w *c'], factors: Float[np.ndarray, ' h']
) -> UInt8[np.ndarray, 'h w *c']:
    """Return the image with each row brightened by its factor, up to white."""
    rows = factors.astype(np.float32).reshape(-1, *[1] * (image.ndim - 1))
    return np.clip(np.rint(image * rows), 0, 255).astype(np.uint8)


def measured_depth(
    depth: Float[np.ndarray, 'h w'], noise: float, holes: float, rng: np.random.Generator
) -> Float[np.ndarray, 'h w']:
    """Return depth as a sensor gives it: noise that grows with z squared, and holes of 0.

    Args:
        depth: true z, metres.
        noise: standard deviation at 1 m, metres.
        holes: share of pixels without depth.
        rng: where the randomness comes from.
    """
    measured: np.ndarray = depth
    if noise > 0:
        error = noise * rng.standard_normal(depth.shape, np.float32)
        measured = np.maximum(depth + error * depth * depth, 0).astype(np.float32)
    if holes > 0:
        height, width = depth.shape
        coarse = (height // _HOLE_SIZE + 2, width // _HOLE_SIZE + 2)
        coarse_field = rng.standard_normal(coarse, np.float32)
        field = cv2.resize(coarse_field, (width, height), interpolation=cv2.INTER_CUBIC)
        field = field + 0.2 * rng.standard_normal(depth.shape, np.float32)
        measured = np.where(field < np.quantile(field, holes), np.float32(0), measured)
    return measured
