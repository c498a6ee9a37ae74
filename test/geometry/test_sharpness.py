# SPDX-License-Identifier: Apache-2.0
"""Sharpness falls with blur, and with nothing else."""

import cv2
import numpy as np
import pytest

from flowcam_ros.geometry.sharpness import sharpness


def scene() -> np.ndarray:
    """Return overlapping rectangles of random brightness, which have sharp edges."""
    rng = np.random.default_rng(0)
    image = np.full((480, 640), 100.0, np.float32)
    for _ in range(150):
        x, y, w, h = rng.integers((0, 0, 10, 10), (640, 480, 120, 120))
        image[y : y + h, x : x + w] = rng.uniform(20, 200)
    return image


def taken(blur: int = 1, down: bool = False, gain: float = 1.0, noise: float = 1.5) -> float:
    """Return the sharpness of a picture, in parts of a sharp one's."""
    kernel = np.ones((blur, 1) if down else (1, blur), np.float32) / blur
    light = gain * cv2.filter2D(scene(), -1, kernel)
    values = light + noise * np.random.default_rng(1).normal(size=light.shape)
    return sharpness(np.clip(np.rint(values), 0, 255).astype(np.uint8)) / _SHARP


_SHARP = 1.0
_SHARP = taken()


@pytest.mark.parametrize('down', [False, True])
def test_blur_in_either_direction_lowers_it(down: bool) -> None:
    falling = [taken(blur, down) for blur in (1, 3, 5, 9, 15)]
    assert (np.diff(falling) < -0.03).all()
    assert falling[0] == pytest.approx(1.0)
    assert falling[-1] < 0.65


@pytest.mark.parametrize('gain, noise', [(1.0, 5.0), (0.4, 1.5), (0.25, 4.0)])
def test_exposure_and_noise_hardly_change_it(gain: float, noise: float) -> None:
    assert taken(1, gain=gain, noise=noise) == pytest.approx(taken(), rel=0.05)
    assert taken(9, gain=gain, noise=noise) == pytest.approx(taken(9), rel=0.08)


@pytest.mark.parametrize('value', [0, 77])
def test_a_blank_picture_has_the_least_but_some(value: int) -> None:
    assert 0 < sharpness(np.full((48, 64), value, np.uint8)) < 0.01
