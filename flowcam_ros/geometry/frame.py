# SPDX-License-Identifier: Apache-2.0
"""What a camera delivers at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8

from flowcam_ros.geometry.camera import CameraModel


@dataclass(frozen=True)
class DepthImage:
    """Measured depth: z in metres; 0, NaN or infinity where unknown.

    ``camera`` holds the depth camera's own intrinsics. ``color_from_depth`` is the 4x4 transform
    from the depth camera to the colour camera (identity when registered or unknown).
    """

    depth: Float[np.ndarray, 'height width']
    camera: CameraModel
    color_from_depth: Float[np.ndarray, '4 4'] = field(default_factory=lambda: np.eye(4))


@dataclass(frozen=True)
class StereoImage:
    """The right image of a rectified pair; ``baseline`` is the distance of the centres, metres."""

    image: UInt8[np.ndarray, 'height width *channels']
    camera: CameraModel
    baseline: float


@dataclass(frozen=True)
class Frame:
    """One picture with its camera, as it came in (still distorted).

    Attributes:
        stamp_ns: acquisition time, integer nanoseconds of the recording's clock.
        image: (height, width) grey or (height, width, 3) BGR, uint8, C-contiguous.
        camera: intrinsics of exactly this image.
        depth: measured depth taken at (nearly) the same time, if any.
        right: the right image of a stereo pair, if any.
        mask: True where pixels may be used; None means everywhere.
        frame_id: name of the camera's optical frame.
        name: of the picture's file; '' where it comes from none.
    """

    stamp_ns: int
    image: UInt8[np.ndarray, 'height width *channels']
    camera: CameraModel
    depth: DepthImage | None = None
    right: StereoImage | None = None
    mask: Bool[np.ndarray, 'height width'] | None = None
    frame_id: str = 'camera_optical_frame'
    name: str = ''
