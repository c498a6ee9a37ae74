# SPDX-License-Identifier: Apache-2.0
"""How a sequence shall be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SequenceOptions:
    """What the user may say about an input; everything has a sensible default.

    Attributes:
        image_topic: bag topic of the picture; found by itself when there is only one.
        camera_info_topic: its CameraInfo; found beside the image topic.
        depth_topic: measured depth; found by itself when there is only one; 'none' for no depth.
        depth_camera_info_topic: its CameraInfo; found beside the depth topic.
        right_topic: right picture of a rectified stereo pair; found when the topics are named
            left and right; 'none' for no stereo.
        right_camera_info_topic: its CameraInfo, which holds the baseline.
        camera: calibration file that replaces CameraInfo (bag) or calibration.yaml (folder);
            needed for a video.
        mask: PNG whose zero pixels are never used.
        assume_camera: use no calibration at all but the camera that most pictures of the size
            come from (geometry/usual_camera.py), so that there need not be any. Measured depth
            and right pictures, which mean nothing without one, are then left out.
        max_time_difference_s: farthest apart in time that a picture and its depth or right
            picture may be.
        strict: check every checksum the recording holds before reading it.
    """

    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    depth_camera_info_topic: str | None = None
    right_topic: str | None = None
    right_camera_info_topic: str | None = None
    camera: Path | None = None
    mask: Path | None = None
    assume_camera: bool = False
    max_time_difference_s: float = 0.02
    strict: bool = False
