# SPDX-License-Identifier: Apache-2.0
"""The camera of pictures of which nothing is known."""

from __future__ import annotations

import math

from flowcam_ros.geometry.camera import CameraModel

# Focal length in units of the root of the picture's area.
_USUAL_FOCAL = 0.95


def usual_camera(width: int, height: int) -> CameraModel:
    """Return the undistorted camera that most pictures of this size, in pixels, come from."""
    focal = _USUAL_FOCAL * math.sqrt(width * height)
    return CameraModel(width, height, focal, focal, 0.5 * (width - 1), 0.5 * (height - 1))
