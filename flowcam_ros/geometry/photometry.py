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

# Cells of this many pixels give mean and contrast; all but the last step work on cells.
_CELL = 4
# Neighbourhood in cells, averaged twice: about 80 x 25 pixels, several times the window of
# Lucas-Kanade. Lower than wide, as flicker changes from row to row and never along a row.
_NEIGHBOURHOOD = (11, 3)
_PASSES = 2
# Grey values of the result per standard deviation: textured parts keep about their contrast.
_CONTRAST = 32.0
_MIDDLE = 128.0
# Where there is no texture noise must not become one. The contrast of a neighbourhood counts as
# at least this many times the noise of the picture, ...
_NOISE_FLOOR = 3.0
# ... this many grey values, ...
_GREY_FLOOR = 4.0
# ... and this share of its brightness, which changes with the exposure as contrast does.
_BRIGHTNESS_FLOOR = 0.1


@dataclass(frozen=True)
class Evened:
    """A grey picture after :func:`even_out`.

    Attributes:
        image: (height, width) uint8, to be compared with that of another picture.
        gain: (rows, columns) float32, how many times the grey picture's contrast it has, in cells
            that cover the picture evenly.
    """

    image: UInt8[np.ndarray, 'height width']
    gain: Float[np.ndarray, 'rows columns']

    def gain_at(self, pixels: Float[np.ndarray, 'n 2']) -> Float[np.ndarray, ' n']:
        """Return the gain at pixel positions (x, y) in the picture."""
        height, width = self.image.shape
        rows, columns = self.gain.shape
        at = np.floor((pixels + 0.5) * (columns / width, rows / height)).astype(np.intp)
        at = np.clip(at, 0, (columns - 1, rows - 1))
        return self.gain[at[:, 1], at[:, 0]]


def even_out(grey: UInt8[np.ndarray, 'height width']) -> Evened:
    """Return the picture with the brightness and contrast of its neighbourhoods evened out."""
    height, width = grey.shape
    cells = (max(1, width // _CELL), max(1, height // _CELL))
    values = grey.astype(np.float32)
    mean = _neighbourhood(cv2.resize(values, cells, interpolation=cv2.INTER_AREA))
    square = cv2.multiply(values, values)
    square = _neighbourhood(cv2.resize(square, cells, interpolation=cv2.INTER_AREA))
    floor = max(_GREY_FLOOR, _NOISE_FLOOR * image_noise(grey)) ** 2
    floor += np.square(np.float32(_BRIGHTNESS_FLOOR) * mean)
    variance = np.maximum(square - mean * mean, 0.0) + floor
    gain = (_CONTRAST / np.sqrt(variance)).astype(np.float32)
    offset = np.float32(_MIDDLE) - gain * mean
    values = cv2.multiply(values, cv2.resize(gain, (width, height)), dst=values)
    image: np.ndarray = cv2.add(values, cv2.resize(offset, (width, height)), dtype=cv2.CV_8U)
    return Evened(image, gain)


def image_noise(grey: UInt8[np.ndarray, 'height width']) -> float:
    """Return the standard deviation of the image noise, grey values.

    From the second derivatives (Immerkaer 1996) of the smoothest quarter of the picture, so that
    texture does not count as noise.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_16S, kernel)[1:-1:3, 1:-1:3])
    # the kernel's gain is 6; a quarter of a normal distribution lies within 0.3186 sigma
    return float(np.percentile(response, 25)) / (6.0 * 0.3186)


def _neighbourhood(cells: Float[np.ndarray, 'rows columns']) -> Float[np.ndarray, 'rows columns']:
    for _ in range(_PASSES):
        cells = cv2.blur(cells, _NEIGHBOURHOOD, borderType=cv2.BORDER_REFLECT)
    return cells
