# SPDX-License-Identifier: Apache-2.0
"""Corners followed by pyramidal Lucas-Kanade from one picture to the next."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Points = Float[np.ndarray, 'n 2']
Grey = UInt8[np.ndarray, 'height width']

_CORNERS = 1000
_QUALITY = 0.01
_DISTANCE_PX = 8
_WINDOW = (21, 21)
_LEVELS = 3
_RETURN_PX = 1.0


def corners(grey: Grey) -> Points:
    """Return the best corners of a picture."""
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _QUALITY, _DISTANCE_PX)
    return np.empty((0, 2), np.float32) if found is None else found.reshape(-1, 2)


def follow(previous: Grey, current: Grey, points: Points) -> tuple[Points, np.ndarray]:
    """Return where points went, and which of them came back when they were followed backwards."""
    if len(points) == 0:
        return points, np.zeros(0, bool)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, points, None, winSize=_WINDOW, maxLevel=_LEVELS
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        current, previous, there, None, winSize=_WINDOW, maxLevel=_LEVELS
    )
    good = np.linalg.norm(back - points, axis=1) < _RETURN_PX
    return there, good & (found.ravel() == 1) & (found_back.ravel() == 1)
