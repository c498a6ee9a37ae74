# SPDX-License-Identifier: Apache-2.0
"""Poses of the frames that took no part in the optimisation, against their chosen neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from flowcam_ros.errors import FrameRejected
from flowcam_ros.flowmap.anchor_search import AnchorSearch, SoughtPoints, sought_points
from flowcam_ros.flowmap.anchors import Anchors
from flowcam_ros.flowmap.resection import Resection, resect
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.interpolation import interpolated
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, inverse, log
from flowcam_ros.geometry.trajectory import Trajectory

# A pose needs so many points that agree on it, and this share of those found.
_MIN_INLIERS, _MIN_SHARE = 12, 0.35
# Where this share of the points is found where the guess puts them, no search would find more.
_AS_GUESSED = 0.6


class Placement(str, Enum):
    """Where the pose of a frame comes from."""

    OPTIMISED = 'optimised'
    MATCHED = 'matched'  # points of its neighbours were found again in it
    TRACKED = 'tracked'  # they were not; the online path leads there, see tied_path.py
    INTERPOLATED = 'interpolated'  # nothing does; from the neighbours' poses by time


@dataclass(frozen=True)
class PlacedFrame:
    """The pose of one frame of the recording.

    Attributes:
        stamp_ns: of the frame.
        placement: where the pose comes from.
        world_from_camera: the pose.
        covariance: (6, 6) relative to the neighbours, see geometry/covariance.py; zero where
            optimised.
        found: how many points were found again.
        inliers: how many of them the pose explains.
    """

    stamp_ns: int
    placement: Placement
    world_from_camera: Matrix4
    covariance: Matrix6
    found: int = 0
    inliers: int = 0


def place_frames(
    frames: Iterable[Frame], anchors: Anchors, original: CameraModel, max_pixels: int
) -> Iterator[PlacedFrame]:
    """Yield the pose of every frame of the recording whose stamp is later than the one before.

    Args:
        frames: the recording again, from its first frame.
        anchors: the chosen frames.
        original: camera of the recording by its start calibration.
        max_pixels: of the tracking pictures, as they were made for the anchors.
    """
    placer = FramePlacer(anchors, original, max_pixels)
    stamp_ns: int | None = None
    for frame in frames:
        if stamp_ns is None or frame.stamp_ns > stamp_ns:
            stamp_ns = frame.stamp_ns
            yield placer.place(frame)


def placed_between(stamp_ns: int, path: Trajectory) -> PlacedFrame:
    """Interpolate on SE(3) by time; before the first and after the last, stay there.

    Args:
        stamp_ns: of the frame.
        path: poses that are known, at least one.
    """
    after = int(np.searchsorted(path.stamps_ns, stamp_ns))
    near = slice(max(after - 1, 0), after + 1)
    stamps, poses = path.stamps_ns[near], path.world_from_camera[near]
    gap = int(stamps[-1] - stamps[0])
    stamp = np.clip(np.array([stamp_ns]), stamps[0], stamps[-1])
    pose = interpolated(Trajectory(stamps, poses), stamp, gap)[0][0]
    way = log(inverse(poses[0]) @ poses[-1])
    share = min(stamp_ns - int(stamps[0]), int(stamps[-1]) - stamp_ns) / max(gap, 1)
    # unknown motion between: as far off as the nearer neighbour is, at most
    sigma = max(share, 0.0) * np.repeat([np.linalg.norm(way[:3]), np.linalg.norm(way[3:])], 3)
    return PlacedFrame(stamp_ns, Placement.INTERPOLATED, pose, np.diag(sigma**2))


class FramePlacer:
    """Places one frame after the other; two anchors are in memory.

    Args:
        anchors: the chosen frames, at least one.
        original: camera of the recording by its start calibration; frames of others are
            interpolated.
        max_pixels: of the tracking pictures.
    """

    def __init__(self, anchors: Anchors, original: CameraModel, max_pixels: int) -> None:
        self._anchors = anchors
        self._original = original
        self._preparer = FramePreparer(max_pixels)
        self._path = Trajectory(anchors.stamps_ns, anchors.world_from_camera)
        self._pinhole = anchors.camera.without_distortion()
        self._search = AnchorSearch(anchors.camera)
        self._sought: dict[int, SoughtPoints] = {}

    def place(self, frame: Frame) -> PlacedFrame:
        """Return the pose of a frame: matched where possible, else interpolated."""
        stamps = self._anchors.stamps_ns
        after = int(np.searchsorted(stamps, frame.stamp_ns))
        if after < len(stamps) and stamps[after] == frame.stamp_ns:
            pose = self._anchors.world_from_camera[after]
            return PlacedFrame(frame.stamp_ns, Placement.OPTIMISED, pose, np.zeros((6, 6)))
        near = [index for index in (after - 1, after) if 0 <= index < len(stamps)]
        between = placed_between(frame.stamp_ns, self._path)
        if frame.camera != self._original:
            return between
        try:
            prepared = self._preparer.prepare(frame)
        except FrameRejected:
            return between
        return self._matched(prepared, near, between) or between

    def _matched(
        self, frame: PreparedFrame, near: list[int], between: PlacedFrame
    ) -> PlacedFrame | None:
        self._sought = {
            index: self._sought.get(index) or sought_points(self._anchors[index]) for index in near
        }
        poses = [self._anchors.world_from_camera[index] for index in near]
        starts = [between.world_from_camera, *poses]
        best = self._fitted(frame, list(self._sought.values()), starts)
        if best is None or not _is_believed(best):
            return None
        return PlacedFrame(
            between.stamp_ns,
            Placement.MATCHED,
            best.world_from_camera,
            best.covariance,
            len(best.explained),
            best.inliers,
        )

    def _fitted(
        self, frame: PreparedFrame, sought: list[SoughtPoints], starts: list[Matrix4]
    ) -> Resection | None:
        """Fit to the points found where a guess puts them, and look farther for a better guess."""
        enough = _AS_GUESSED * sum(len(one.points) for one in sought)
        best = resect(self._search.near(sought, frame, starts[0]), self._pinhole, starts[:1])
        for look in (self._search.coarse_to_fine, self._search.along_flow):
            if best is not None and _is_believed(best) and best.inliers >= enough:
                break
            enough = 0.0  # from here on, any pose that is believed will do
            guess = resect(look(sought, frame), self._pinhole, starts)
            if guess is None:
                continue
            pose = guess.world_from_camera
            again = resect(self._search.near(sought, frame, pose), self._pinhole, [pose])
            if again is not None and (best is None or again.inliers > best.inliers):
                best = again
        return best


def _is_believed(pose: Resection) -> bool:
    return pose.inliers >= max(_MIN_INLIERS, _MIN_SHARE * len(pose.explained))
