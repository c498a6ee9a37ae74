# SPDX-License-Identifier: Apache-2.0
"""Random fields with the spectrum of natural pictures."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Float

_FIELD_SIZE = 1024
_FIELDS = 4


def natural_field(
    rng: np.random.Generator, height: int, width: int, exponent: float = 1.0
) -> Float[np.ndarray, 'height width']:
    """Return a periodic field whose amplitude falls with frequency to the power ``exponent``.

    float32, mean 0, standard deviation 1. Natural pictures have an exponent near 1: detail looks
    alike at every distance.
    """
    down = np.fft.fftfreq(height).astype(np.float32)[:, None]
    across = np.fft.rfftfreq(width).astype(np.float32)[None, :]
    frequency = np.hypot(down, across)
    frequency[0, 0] = 1.0
    white = scipy.fft.rfft2(rng.standard_normal((height, width), np.float32))
    white *= frequency**-exponent
    white[0, 0] = 0.0
    field = scipy.fft.irfft2(white, s=(height, width))
    return (field / field.std()).astype(np.float32)


class NoiseStore:
    """A few large natural fields from which any number of textures are cut.

    Cutting windows at random places is a hundred times faster than a transform per texture.
    """

    def __init__(self, rng: np.random.Generator, exponent: float = 1.0) -> None:
        self._rng = rng
        self._fields = [
            natural_field(rng, _FIELD_SIZE, _FIELD_SIZE, exponent) for _ in range(_FIELDS)
        ]

    def cut(
        self, height: int, width: int, stretch: tuple[float, float] = (1.0, 1.0)
    ) -> Float[np.ndarray, 'height width']:
        """Return a window of natural noise, float32, standard deviation about 1.

        ``stretch`` lengthens the structure (down, across): wood grain, brushed metal, folds.
        """
        inner_height = max(2, round(height / stretch[0]))
        inner_width = max(2, round(width / stretch[1]))
        field = self._fields[self._rng.integers(_FIELDS)]
        top, left = self._rng.integers(_FIELD_SIZE, size=2)
        rows = (np.arange(inner_height) + top) % _FIELD_SIZE
        columns = (np.arange(inner_width) + left) % _FIELD_SIZE
        window = field[np.ix_(rows, columns)]
        if self._rng.random() < 0.5:
            window = window[:, ::-1]
        if window.shape != (height, width):
            window = cv2.resize(window, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(window)
