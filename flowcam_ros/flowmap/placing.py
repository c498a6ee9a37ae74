# SPDX-License-Identifier: Apache-2.0
"""Poses of the frames that took no part in the optimisation, against their chosen neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float

from flowcam_ros.correspondence.points import (
    RefinedPoints,
    cell_size,
    refine_points,
    search_points,
    texture_map,
)
from flowcam_ros.errors import FrameRejected
from flowcam_ros.flowmap.anchors import Anchor, Anchors
from flowcam_ros.flowmap.resection import FoundPoints, Resection, resect
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.distortion import project, undistort
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.interpolation import interpolated
from flowcam_ros.geometry.photometry import Evened, even_out
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, inverse, log
from flowcam_ros.geometry.trajectory import Trajectory

# Points of one anchor that are looked for: more make a pose no surer, but slower.
_POINTS = 400
_MAX_INCONSISTENCY_PX = 1.0
# A pose needs so many points that agree on it, and this share of those found.
_MIN_INLIERS, _MIN_INLIER_SHARE = 12, 0.35
# Where this share of the points is found where the guess puts them, no search would find more.
_AS_GUESSED = 0.6
_ELSEWHERE = -1e4


class Placement(str, Enum):
    """Where the pose of a frame comes from."""

    OPTIMISED = 'optimised'
    MATCHED = 'matched'  # points of its neighbours were found again in it
    INTERPOLATED = 'interpolated'  # they were not; from the neighbours' poses by time


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


@dataclass(frozen=True)
class _Ready:
    """An anchor whose points can be looked for."""

    even: Evened
    points: Float[np.ndarray, 'n 3']
    pixels: Float[np.ndarray, 'n 2']
    texture: Float[np.ndarray, ' n']
    sigma: Float[np.ndarray, ' n']


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
        self._ready: dict[int, _Ready] = {}

    def place(self, frame: Frame) -> PlacedFrame:
        """Return the pose of a frame: matched where possible, else interpolated."""
        stamps = self._anchors.stamps_ns
        after = int(np.searchsorted(stamps, frame.stamp_ns))
        if after < len(stamps) and stamps[after] == frame.stamp_ns:
            pose = self._anchors.world_from_camera[after]
            return PlacedFrame(frame.stamp_ns, Placement.OPTIMISED, pose, np.zeros((6, 6)))
        near = [index for index in (after - 1, after) if 0 <= index < len(stamps)]
        between = self._between(frame.stamp_ns, near)
        if frame.camera != self._original:
            return between
        try:
            prepared = self._preparer.prepare(frame)
        except FrameRejected:
            return between
        return self._matched(prepared, near, between) or between

    def _between(self, stamp_ns: int, near: list[int]) -> PlacedFrame:
        """Interpolate on SE(3) by time; before the first and after the last, stay there."""
        stamps, poses = self._anchors.stamps_ns, self._anchors.world_from_camera
        first, last = near[0], near[-1]
        gap = int(stamps[last] - stamps[first])
        stamp = np.clip(np.array([stamp_ns]), stamps[first], stamps[last])
        pose = interpolated(self._path, stamp, max(gap, 0))[0][0]
        way = log(inverse(poses[first]) @ poses[last])
        share = min(stamp_ns - int(stamps[first]), int(stamps[last]) - stamp_ns) / max(gap, 1)
        # unknown motion between: as far off as the nearer neighbour is, at most
        sigma = max(share, 0.0) * np.repeat([np.linalg.norm(way[:3]), np.linalg.norm(way[3:])], 3)
        return PlacedFrame(stamp_ns, Placement.INTERPOLATED, pose, np.diag(sigma**2))

    def _matched(
        self, frame: PreparedFrame, near: list[int], between: PlacedFrame
    ) -> PlacedFrame | None:
        ready = self._neighbours(near)
        poses = [self._anchors.world_from_camera[index] for index in near]
        start = between.world_from_camera
        expected = sum(len(one.points) for one in ready)
        found = self._found(ready, frame, start)
        best = resect(found, self._pinhole, [start])
        if best is None or best.inliers < _AS_GUESSED * expected:
            searched = self._searched(ready, frame)
            again = resect(searched, self._pinhole, [start, *poses])
            if again is not None and (best is None or again.inliers > 0.5 * best.inliers):
                guided = self._found(ready, frame, again.world_from_camera)
                final = resect(guided, self._pinhole, [again.world_from_camera])
                if final is not None and (best is None or final.inliers > best.inliers):
                    best, found = final, guided
        if best is None or not _is_believed(best, found):
            return None
        return PlacedFrame(
            between.stamp_ns,
            Placement.MATCHED,
            best.world_from_camera,
            best.covariance,
            len(found),
            best.inliers,
        )

    def _neighbours(self, near: list[int]) -> list[_Ready]:
        self._ready = {
            index: self._ready[index] if index in self._ready else _ready(self._anchors[index])
            for index in near
        }
        return [self._ready[index] for index in near]

    def _found(self, ready: list[_Ready], frame: PreparedFrame, pose: Matrix4) -> FoundPoints:
        """Look for the points of the anchors near where a pose puts them."""
        parts = []
        for one in ready:
            guess = self._seen_from(pose, one.points)
            matches = refine_points(
                one.even.fine,
                frame.even.fine,
                one.pixels,
                one.texture,
                guess,
                _MAX_INCONSISTENCY_PX,
            )
            parts.append(self._usable(one, matches, frame))
        return _joined(parts)

    def _searched(self, ready: list[_Ready], frame: PreparedFrame) -> FoundPoints:
        """Look for them from coarse to fine, wherever they may be."""
        parts = []
        for one in ready:
            matches = search_points(
                one.even.broad, frame.even.broad, one.pixels, one.texture, _MAX_INCONSISTENCY_PX
            )
            parts.append(self._usable(one, matches, frame))
        return _joined(parts)

    def _seen_from(
        self, pose: Matrix4, points: Float[np.ndarray, 'n 3']
    ) -> Float[np.ndarray, 'n 2']:
        camera_from_world = inverse(pose)
        local = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        pixels = project(self._anchors.camera, local)
        ahead = (local[:, 2] > 0) & np.isfinite(pixels).all(1)
        return np.where(ahead[:, None], pixels, _ELSEWHERE).astype(np.float32)

    def _usable(self, ready: _Ready, matches: RefinedPoints, frame: PreparedFrame) -> FoundPoints:
        valid = matches.valid.copy()
        height, width = frame.grey.shape
        if frame.usable is not None:
            at = np.rint(np.clip(matches.target, 0, (width - 1, height - 1))).astype(np.intp)
            valid &= frame.usable[at[:, 1], at[:, 0]]
        pixels = _without_distortion(self._anchors.camera, matches.target.astype(np.float64))
        valid &= np.isfinite(pixels).all(1)
        variance = np.square(matches.sigma) + np.square(ready.sigma)
        return FoundPoints(ready.points[valid], pixels[valid], variance[valid].astype(np.float64))


def _is_believed(pose: Resection, found: FoundPoints) -> bool:
    return pose.inliers >= max(_MIN_INLIERS, _MIN_INLIER_SHARE * len(found))


def _joined(parts: list[FoundPoints]) -> FoundPoints:
    return FoundPoints(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.variance for part in parts]),
    )


def _without_distortion(
    camera: CameraModel, pixels: Float[np.ndarray, 'n 2']
) -> Float[np.ndarray, 'n 2']:
    if not camera.is_distorted:
        return pixels
    focal, centre = (camera.fx, camera.fy), (camera.cx, camera.cy)
    return undistort(camera, (pixels - centre) / focal) * focal + centre


def _ready(anchor: Anchor) -> _Ready:
    even = even_out(anchor.grey)
    texture = texture_map(anchor.grey)
    if anchor.usable is not None:
        texture = np.where(anchor.usable, texture, np.float32(0.0))
    height, width = anchor.grey.shape
    at = np.rint(anchor.pixels).astype(np.intp)
    strength = texture[at[:, 1], at[:, 0]] * even.gain_at(anchor.pixels) ** 2
    keep = _spread(anchor.pixels, strength, cell_size(height, width, _POINTS))
    return _Ready(
        even, anchor.points[keep], anchor.pixels[keep], strength[keep], anchor.sigma[keep]
    )


def _spread(
    pixels: Float[np.ndarray, 'n 2'], strength: Float[np.ndarray, ' n'], cell: int
) -> np.ndarray:
    """Return the indices of the best textured point of each cell of a grid."""
    order = np.argsort(-strength, kind='stable')
    order = order[strength[order] > 0]
    cells = (pixels[order] // cell).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return order[first]
