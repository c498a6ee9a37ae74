# SPDX-License-Identifier: Apache-2.0
"""Pictures that look alike whatever the light: local brightness and contrast evened out.

Flow and Lucas-Kanade take a change of brightness for motion: one of 5 % doubles the error of a
point, an exposure jump or a flickering lamp loses it. So pictures are compared by how far each
pixel is from the mean of its neighbourhood, in standard deviations of the neighbourhood. That
takes gain, offset and gamma out, of the whole picture (exposure), of its parts (vignetting, lamps)
and of its rows (bars of flicker seen by a rolling shutter).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Mean squared slope (Sobel / 8) along one axis of noise of variance 1.
NOISE_GRADIENT = 12.0 / 64.0

# Cells of this many pixels give mean and contrast; all but the last step work on cells.
_CELL = 4
# Neighbourhoods in cells, wide and high, averaged twice. For points about 80 x 25 pixels, several
# times the window of Lucas-Kanade: lower than wide, as flicker changes from row to row and never
# along a row.
_FINE = (11, 3)
# Whole rows for the search over long ways, which needs to see large structure.
_BROAD = 5
_PASSES = 2
# Grey values of the result per standard deviation: textured parts keep about their contrast.
_CONTRAST = 48.0
_MIDDLE = 128.0
# Where there is no texture noise must not become one. The contrast of a neighbourhood counts as
# at least this many times the noise of the picture, ...
_NOISE_FLOOR = 3.0
# ... this many grey values, ...
_GREY_FLOOR = 2.0
# ... and this share of its brightness, which changes with the exposure as contrast does.
_BRIGHTNESS_FLOOR = 0.35

_Cells = Float[np.ndarray, 'rows columns']


@dataclass(frozen=True)
class Evened:
    """A grey picture after :func:`even_out`, each form to be compared with its like.

    Attributes:
        fine: (height, width) uint8, neighbourhoods evened out: for small windows.
        broad: (height, width) uint8, only rows evened out, large structure kept: for dense flow
            and coarse search.
        gain: (rows, columns) float32, how many times the grey picture's contrast ``fine`` has, in
            cells that cover the picture evenly.
    """

    fine: UInt8[np.ndarray, 'height width']
    broad: UInt8[np.ndarray, 'height width']
    gain: Float[np.ndarray, 'rows columns']

    def gain_at(self, pixels: Float[np.ndarray, 'n 2']) -> Float[np.ndarray, ' n']:
        """Return the gain at pixel positions (x, y) in the picture."""
        height, width = self.fine.shape
        rows, columns = self.gain.shape
        at = np.floor((pixels + 0.5) * (columns / width, rows / height)).astype(np.intp)
        at = np.clip(at, 0, (columns - 1, rows - 1))
        return self.gain[at[:, 1], at[:, 0]]


def even_out(grey: UInt8[np.ndarray, 'height width']) -> Evened:
    """Return the picture with brightness and contrast evened out; 1 ms for 640x480 pixels."""
    height, width = grey.shape
    cells = (max(1, width // _CELL), max(1, height // _CELL))
    values = grey.astype(np.float32)
    mean = cv2.resize(values, cells, interpolation=cv2.INTER_AREA)
    square = cv2.resize(values * values, cells, interpolation=cv2.INTER_AREA)
    floor = max(_GREY_FLOOR, _NOISE_FLOOR * image_noise(grey))
    gain, offset = _scaling(_smooth(mean, _FINE), _smooth(square, _FINE), floor)
    rows = (1, _BROAD)
    row_mean = _smooth(mean.mean(1, keepdims=True), rows)
    row_square = _smooth(square.mean(1, keepdims=True), rows)
    broad = _scaled(values, *_scaling(row_mean, row_square, floor))
    return Evened(_scaled(values, gain, offset), broad, gain)


def _smooth(cells: _Cells, size: tuple[int, int]) -> _Cells:
    for _ in range(_PASSES):
        cells = cv2.blur(cells, size, borderType=cv2.BORDER_REFLECT)
    return cells


def _scaling(mean: _Cells, square: _Cells, floor: float) -> tuple[_Cells, _Cells]:
    """Return gain and offset that bring neighbourhoods to the same mean and contrast."""
    least = np.float32(floor**2) + np.square(np.float32(_BRIGHTNESS_FLOOR) * mean)
    gain = np.float32(_CONTRAST) / np.sqrt(np.maximum(square - mean * mean, 0.0) + least)
    return gain, np.float32(_MIDDLE) - gain * mean


def _scaled(
    values: Float[np.ndarray, 'height width'], gain: _Cells, offset: _Cells
) -> UInt8[np.ndarray, 'height width']:
    size = values.shape[::-1]
    scaled = cv2.multiply(values, cv2.resize(gain, size))
    result: np.ndarray = cv2.add(scaled, cv2.resize(offset, size), dtype=cv2.CV_8U)
    return result


def image_noise(grey: UInt8[np.ndarray, 'height width']) -> float:
    """Return the standard deviation of the image noise, grey values.

    From the second derivatives (Immerkaer 1996) of the smoothest quarter of the picture, so that
    texture does not count as noise.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_16S, kernel)[1:-1:3, 1:-1:3])
    # the kernel's gain is 6; a quarter of a normal distribution lies within 0.3186 sigma
    return float(np.percentile(response, 25)) / (6.0 * 0.3186)
