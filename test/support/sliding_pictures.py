# SPDX-License-Identifier: Apache-2.0
"""Frames cut from one large texture: how far the picture moves between them is known exactly."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame

WIDTH, HEIGHT = 320, 240
CAMERA = CameraModel(WIDTH, HEIGHT, 300.0, 300.0, 159.5, 119.5)
PERIOD_NS = 33_000_000


def texture(seed: int, width: int = 1600) -> np.ndarray:
    """Return a texture with detail of many sizes, HEIGHT pixels high."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT, width))
    for cell, contrast in ((2, 18.0), (6, 30.0), (20, 40.0), (60, 40.0)):
        coarse = rng.standard_normal((HEIGHT // cell + 2, width // cell + 2))
        picture += contrast * cv2.resize(coarse, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(128.0 + 0.5 * picture, 0, 255).astype(np.uint8)


def frame(number: int, picture: np.ndarray, camera: CameraModel = CAMERA, name: str = '') -> Frame:
    """Return a picture as the frame of a number, which gives its stamp."""
    return Frame(number * PERIOD_NS, np.ascontiguousarray(picture), camera, name=name)


def sliding(offsets: Iterable[float], blurred: Iterable[int] = (), seed: int = 0) -> list[Frame]:
    """Return frames that show the texture shifted to the left by these offsets, pixels."""
    whole = texture(seed)
    smeared = set(blurred)
    frames = []
    for number, offset in enumerate(offsets):
        shift = np.array([[1.0, 0.0, -offset], [0.0, 1.0, 0.0]])
        picture = cv2.warpAffine(whole, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        if number in smeared:
            picture = cv2.blur(picture, (9, 9))
        frames.append(frame(number, picture))
    return frames
