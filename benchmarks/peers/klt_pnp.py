# SPDX-License-Identifier: Apache-2.0
"""The classic tracker with depth: corners, Lucas-Kanade, PnP with RANSAC, frame to frame."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.peers.pictures import Picture, PictureMaker
from benchmarks.peers.system import Answer, Chain, Matrix4
from benchmarks.peers.tracks import corners, follow
from flowcam_ros.geometry.frame import Frame

_REPROJECTION_PX = 2.0
_ITERATIONS = 300
_CONFIDENCE = 0.999
_FEWEST = 6


class KltPnp:
    """OpenCV's KLT and PnP."""

    def __init__(self, mode: str, settings: list[str]) -> None:
        self._pictures = PictureMaker()
        self._chain = Chain()
        self._previous: Picture | None = None

    def process(self, frame: Frame) -> Answer:
        """Return the pose of the next frame."""
        current = self._pictures.make_rgbd(frame)
        previous, self._previous = self._previous, current
        if previous is None:
            return self._chain.first()
        return self._chain.advance(motion(previous, current))

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        return {'opencv': cv2.__version__}


def motion(previous: Picture, current: Picture) -> Matrix4 | None:
    """Return previous_from_current of two pictures with depth; None where it cannot be told."""
    assert previous.depth is not None  # make_rgbd
    before = corners(previous.grey)
    after, good = follow(previous.grey, current.grey, before)
    column, row = np.rint(before).astype(int).T
    depth = previous.depth[row, column]
    good &= depth > 0
    if np.count_nonzero(good) < _FEWEST:
        return None
    before, after, depth = before[good], after[good], depth[good]
    rays = cv2.undistortPoints(before[:, None], previous.matrix, None).reshape(-1, 2)
    points = np.column_stack([rays * depth[:, None], depth]).astype(np.float64)
    after = after.astype(np.float64)
    solved, turn, shift, inliers = cv2.solvePnPRansac(
        points,
        after,
        current.matrix,
        None,
        iterationsCount=_ITERATIONS,
        reprojectionError=_REPROJECTION_PX,
        confidence=_CONFIDENCE,
    )
    if not solved or inliers is None or len(inliers) < _FEWEST:
        return None
    kept = inliers.ravel()
    turn, shift = cv2.solvePnPRefineLM(
        points[kept], after[kept], current.matrix, None, turn, shift
    )
    current_from_previous = np.eye(4)
    current_from_previous[:3, :3] = cv2.Rodrigues(turn)[0]
    current_from_previous[:3, 3] = shift.ravel()
    return np.linalg.inv(current_from_previous)
