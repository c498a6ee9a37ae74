# SPDX-License-Identifier: Apache-2.0
"""Frames that nothing ties to the reconstruction, placed by the online path between those it does.

The online path drifts, but it goes on where too little corresponds for an adjustment. It is taken
from the placed frame before and from the one after, and what does not fit is spread over the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from flowcam_ros.flowmap.online_path import OnlinePath, TrackedFrames
from flowcam_ros.flowmap.placing import PlacedFrame, Placement, placed_between
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.se3 import exp, inverse, log
from flowcam_ros.geometry.trajectory import Trajectory

# Drift of an online path: a share of its way, and a share of what it turned.
_DRIFT = 0.03
# One alone tells no unit of length.
_MIN_ANCHORS = 2


def placed_by_online_path(
    placed: list[PlacedFrame],
    frames: Iterable[Frame],
    camera: CameraModel,
    config: RefineConfig,
    online: OnlinePath | None,
    tell: Callable[[str], None],
) -> list[PlacedFrame]:
    """Return all frames, those that correspond to no others placed by the online path.

    A single frame between two others is as well interpolated, and tracked for nobody's sake.

    Args:
        placed: in order of time.
        frames: of the recording, tracked only if need be.
        camera: theirs where the calibration was unknown, as the refinement found it.
        config: how flow and depth are found.
        online: believed poses, if the frames were tracked already.
        tell: told if they are to be.
    """
    loose = _loose(placed)
    if np.count_nonzero(~loose) < _MIN_ANCHORS or not (loose[1:] & loose[:-1]).any():
        return placed
    if online is None:
        tell(f'online path, for {np.count_nonzero(loose)} frames that correspond to no others')
        # what a few frames say of the lens is worth less than a calibration, but more than none
        unknown = config.intrinsics.mode == 'unknown'
        online = TrackedFrames(_Seen(frames, camera) if unknown else frames, config).path()
    return tied_to(online, placed)


def tied_to(online: OnlinePath, placed: Sequence[PlacedFrame]) -> list[PlacedFrame]:
    """Return all frames; those merely interpolated get a pose from the online path, if it has one.

    Those it does not know are interpolated anew, between nearer frames now.

    Args:
        online: of the same camera, in any world and unit.
        placed: in order of time.
    """
    stamps = np.array([p.stamp_ns for p in placed], np.int64)
    way, known = online.at(stamps)
    loose = _loose(placed)
    anchors = np.flatnonzero(known & ~loose)
    unit = _unit(way, placed, anchors)
    if unit is None:
        return list(placed)
    way[:, :3, 3] *= unit
    gone = _travelled(way, known)
    result = list(placed)
    for index in np.flatnonzero(known & loose):
        near = _around(anchors, int(index))
        result[index] = _tied(placed, way, gone, near, int(index))
    return _interpolated_anew(result)


def _loose(placed: Sequence[PlacedFrame]) -> Bool[np.ndarray, ' n']:
    return np.array([p.placement is Placement.INTERPOLATED for p in placed], bool)


def _interpolated_anew(placed: Sequence[PlacedFrame]) -> list[PlacedFrame]:
    """Return all frames, those that are interpolated being so between all others."""
    loose = _loose(placed)
    firm = [p for p, is_loose in zip(placed, loose, strict=True) if not is_loose]
    path = Trajectory(
        np.array([p.stamp_ns for p in firm], np.int64),
        np.stack([p.world_from_camera for p in firm]),
    )
    return [
        placed_between(frame.stamp_ns, path) if is_loose else frame
        for frame, is_loose in zip(placed, loose, strict=True)
    ]


def _unit(
    way: Float[np.ndarray, 'n 4 4'], placed: Sequence[PlacedFrame], anchors: Int[np.ndarray, ' a']
) -> float | None:
    """Return the length of the path's unit, by the ways between anchors; None if none tells it."""
    if len(anchors) < _MIN_ANCHORS:
        return None
    centres = np.stack([placed[k].world_from_camera[:3, 3] for k in anchors])
    true = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    told = np.linalg.norm(np.diff(way[anchors, :3, 3], axis=0), axis=1)
    moved = (true > 0) & (told > 0)
    if not moved.any():
        return None
    ratio, weight = true[moved] / told[moved], told[moved]
    order = np.argsort(ratio)
    half = np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())
    return float(ratio[order][half])


def _travelled(
    way: Float[np.ndarray, 'n 4 4'], known: Bool[np.ndarray, ' n']
) -> Float[np.ndarray, 'n 2']:
    """Return how far the camera went up to each frame, and how far it turned, radians."""
    gone = np.zeros((len(way), 2))
    at = np.flatnonzero(known)
    for before, after in pairwise(at):
        gone[after] = _moved(log(inverse(way[before]) @ way[after]))
    return np.cumsum(gone, axis=0)


def _around(anchors: Int[np.ndarray, ' a'], index: int) -> list[int]:
    """Return the anchors before and after a frame."""
    after = int(np.searchsorted(anchors, index))
    return [int(k) for k in anchors[max(after - 1, 0) : after + 1]]


def _tied(
    placed: Sequence[PlacedFrame],
    way: Float[np.ndarray, 'n 4 4'],
    gone: Float[np.ndarray, 'n 2'],
    near: list[int],
    index: int,
) -> PlacedFrame:
    guesses = [
        placed[anchor].world_from_camera @ inverse(way[anchor]) @ way[index] for anchor in near
    ]
    off = log(inverse(guesses[0]) @ guesses[-1])
    share = _share(gone[:, 0], near, index)
    # from the nearer anchor, and of what was off between both, which is closed linearly
    drift = _DRIFT * np.min([np.abs(gone[index] - gone[anchor]) for anchor in near], axis=0)
    closed = min(share, 1.0 - share) * _moved(off)
    return dataclasses.replace(
        placed[index],
        placement=Placement.TRACKED,
        world_from_camera=guesses[0] @ exp(share * off),
        covariance=np.diag(np.repeat(np.square(drift) + np.square(closed), 3)),
    )


def _share(gone: Float[np.ndarray, ' n'], near: list[int], index: int) -> float:
    """Return how much of the way, and of the frames, from one anchor to the other is behind."""
    first, last = near[0], near[-1]
    if first == last:
        return 0.0
    frames = (index - first) / (last - first)
    length = float(gone[last] - gone[first])
    return 0.5 * (frames + float(gone[index] - gone[first]) / length) if length > 0 else frames


def _moved(step: Float[np.ndarray, ' 6']) -> Float[np.ndarray, ' 2']:
    """Return how far a step goes and how far it turns, radians."""
    return np.array([np.linalg.norm(step[:3]), np.linalg.norm(step[3:])])


class _Seen:
    """The frames of a recording with another camera."""

    def __init__(self, frames: Iterable[Frame], camera: CameraModel) -> None:
        self._frames = frames
        self._camera = camera

    def __iter__(self) -> Iterator[Frame]:
        size = self._camera.width, self._camera.height
        for frame in self._frames:
            same = (frame.camera.width, frame.camera.height) == size
            yield dataclasses.replace(frame, camera=self._camera) if same else frame
