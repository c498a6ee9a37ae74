# SPDX-License-Identifier: Apache-2.0
"""From sharp pictures of instants to the pictures a camera takes: shutter, light, sensor."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.sequences.synthetic.flaws import with_brightness, with_noise
from flowcam_ros.sequences.synthetic.options import SyntheticOptions

Colour = UInt8[np.ndarray, 'h w 3']
# Gives the sharp picture of a time (s), taken so many metres to the right.
Renderer = Callable[[float, float], Colour]


class Photographer:
    """Takes the pictures of a sequence with all the flaws that its options ask for."""

    def __init__(self, options: SyntheticOptions, render: Renderer) -> None:
        self._options = options
        self._render = render
        self._dark = options.dark_frames()
        self._blurred = options.blurred_frames()
        # When each row is read, seconds from the middle of the picture.
        rows = (np.arange(options.height) + 0.5) / options.height - 0.5
        self._delays = rows * options.readout / options.fps

    def take(
        self, number: int, right_by: float, sharp: Colour | None = None
    ) -> UInt8[np.ndarray, 'h w *c']:
        """Return a picture, grey or colour; ``sharp`` is that of its middle if already known."""
        options = self._options
        time = number / options.fps
        if options.rolling_samples > 1:
            image: np.ndarray = self._rolled(number, time, right_by)
        elif number in self._blurred or sharp is None:
            image = self._exposed(number, time, right_by)
        else:
            image = sharp
        factors = self._brightness(number, time)
        if (factors != 1.0).any():
            image = with_brightness(image, factors)
        if options.grey:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if options.noise > 0:
            side = 5 if right_by else 4
            rng = np.random.default_rng([options.seed, side, number])
            image = with_noise(image, options.noise, rng)
        return image

    def _exposed(self, number: int, time: float, right_by: float) -> Colour:
        """Return the mean of pictures over the exposure, whose middle is ``time``."""
        if number not in self._blurred:
            return self._render(time, right_by)
        count = self._options.blur_samples
        span = self._options.exposure / self._options.fps
        total = np.zeros((self._options.height, self._options.width, 3), np.uint32)
        for k in range(count):
            total += self._render(time + ((k + 0.5) / count - 0.5) * span, right_by)
        return ((total + count // 2) // count).astype(np.uint8)

    def _rolled(self, number: int, time: float, right_by: float) -> Colour:
        """Return a picture each row of which is mixed from the two instants round its own."""
        count = self._options.rolling_samples
        total = np.zeros((self._options.height, self._options.width, 3), np.float32)
        place = np.linspace(0.0, count - 1.0, self._options.height)
        for k in range(count):
            share = np.maximum(1.0 - np.abs(place - k), 0.0).astype(np.float32)
            delay = (k / (count - 1) - 0.5) * self._options.readout / self._options.fps
            total += share[:, None, None] * self._exposed(number, time + delay, right_by)
        return np.rint(total).astype(np.uint8)

    def _brightness(self, number: int, time: float) -> Float[np.ndarray, ' h']:
        """Return the factor on each row."""
        options = self._options
        if number in self._dark:
            return np.zeros(options.height)
        whole = 2.0 ** (
            options.exposure_swing * np.sin(2.0 * np.pi * time / options.exposure_period)
        )
        if number >= options.exposure_jump_frame:
            whole *= options.exposure_jump
        phase = 2.0 * np.pi * options.flicker_frequency * (time + self._delays)
        return whole * (1.0 - options.flicker * (0.5 - 0.5 * np.cos(phase)))
