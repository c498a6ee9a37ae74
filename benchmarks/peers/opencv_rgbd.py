# SPDX-License-Identifier: Apache-2.0
"""OpenCV 5's RGB-D odometry with its default settings, frame to frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from benchmarks.peers.pictures import PictureMaker
from benchmarks.peers.system import Answer, Chain
from flowcam_ros.geometry.frame import Frame


class OpencvOdometry:
    """cv2.Odometry, colour and depth together."""

    def __init__(self, mode: str, settings: list[str]) -> None:
        if not hasattr(cv2, 'Odometry'):
            raise ImportError(f'OpenCV {cv2.__version__} has no Odometry; 5.0 has')
        # Holes and steps that registering leaves harm its normals more than the wrong place does
        # (7-Scenes: error doubled), so it gets depth as it is.
        self._pictures = PictureMaker(registers=False)
        self._chain = Chain()
        self._odometry: Any = None
        self._previous: Any = None

    def process(self, frame: Frame) -> Answer:
        """Return the pose of the next frame."""
        picture = self._pictures.make_rgbd(frame)
        if self._odometry is None:
            options = cv2.OdometrySettings()
            options.setCameraMatrix(picture.matrix.astype(np.float32))
            self._odometry = cv2.Odometry(
                cv2.OdometryType_RGB_DEPTH, options, cv2.OdometryAlgoType_COMMON
            )
        current = cv2.OdometryFrame(picture.depth, picture.image)
        previous, self._previous = self._previous, current
        if previous is None:
            return self._chain.first()
        self._odometry.prepareFrames(previous, current)
        # The motion maps points of the first frame into the second.
        found, current_from_previous = self._odometry.compute(previous, current)
        good = found and np.isfinite(current_from_previous).all()
        return self._chain.advance(np.linalg.inv(current_from_previous) if good else None)

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        return {'opencv': cv2.__version__}
