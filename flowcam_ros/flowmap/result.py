# SPDX-License-Identifier: Apache-2.0
"""Puts the parts of a refinement together: a pose for every frame, the camera, coloured points."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int, UInt8

from flowcam_ros.flowmap.anchors import Anchors
from flowcam_ros.flowmap.camera_correction import (
    CameraCorrection,
    corrected_working,
    distort_pixels,
    refined_camera,
)
from flowcam_ros.flowmap.frame_record import FrameRecord
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.lens import CENTRE_X, CENTRE_Y, RADIAL_1, RADIAL_2, Lens
from flowcam_ros.flowmap.placing import PlacedFrame, place_frames
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.reconstruction import DepthMap, DepthMaps, PointTracks, Reconstruction
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory


def placed(
    frames: Iterable[Frame], store: FrameStore, polished: Polished, max_pixels: int
) -> list[PlacedFrame]:
    """Return the poses of all frames: those that hold, and the others against them."""
    held = np.flatnonzero(polished.held)
    number = np.full(len(polished.held), -1)
    number[held] = np.arange(len(held))
    tracks = polished.tracks
    use = polished.held[tracks.frame]
    working = corrected_working(
        store.index.tracking, correction_of(store.index.tracking, polished.lens)
    )
    anchors = Anchors(
        _Subset(store, held),
        working,
        store.stamps_ns[held],
        polished.poses.numpy()[held],
        polished.points,
        tracks.point[use],
        number[tracks.frame[use]],
        tracks.pixel[use],
        tracks.sigma[use],
    )
    return list(place_frames(frames, anchors, store.index.original, max_pixels))


def assemble(
    placed_frames: list[PlacedFrame],
    records: list[FrameRecord],
    store: FrameStore,
    polished: Polished,
    camera: CameraModel,
    depth: DepthMaps,
    scale_source: str,
) -> Reconstruction:
    """Return the reconstruction.

    Args:
        placed_frames: a pose for each frame of the recording.
        records: of all frames.
        store: of the chosen frames.
        polished: their poses, the points and the lens.
        camera: refined, of the recording's pictures.
        depth: keyed by number of the chosen frame.
        scale_source: of the unit.
    """
    stamps = np.array([p.stamp_ns for p in placed_frames], np.int64)
    names = {r.stamp_ns: r.name for r in reversed(records)}
    frame_of = np.searchsorted(stamps, store.stamps_ns)
    chosen = np.zeros(len(stamps), bool)
    chosen[frame_of[polished.held]] = True
    original, tracking = store.index.original, store.index.tracking
    return Reconstruction(
        Trajectory(stamps, np.stack([p.world_from_camera for p in placed_frames])),
        tuple(names[int(s)] for s in stamps),
        chosen,
        camera,
        _points(store, polished, frame_of, original, tracking),
        _Renumbered(depth, frame_of),
        scale_source,
    )


def camera_of(store: FrameStore, polished: Polished) -> CameraModel:
    """Return the refined camera of the recording's pictures."""
    original, tracking = store.index.original, store.index.tracking
    return refined_camera(original, tracking, correction_of(tracking, polished.lens)).camera


def correction_of(tracking: CameraModel, lens: Lens) -> CameraCorrection:
    """Return what a lens changes about the camera of the tracking pictures."""
    numbers = lens.numbers.tolist()
    return CameraCorrection(
        lens.focal / tracking.fx,
        numbers[CENTRE_X] - tracking.cx,
        numbers[CENTRE_Y] - tracking.cy,
        numbers[RADIAL_1],
        numbers[RADIAL_2],
    )


def _points(
    store: FrameStore,
    polished: Polished,
    frame_of: np.ndarray,
    original: CameraModel,
    tracking: CameraModel,
) -> PointTracks:
    tracks = polished.tracks
    count = np.maximum(np.bincount(tracks.point, minlength=len(polished.points)), 1)
    error = np.bincount(tracks.point, polished.error_px, len(polished.points)) / count
    return PointTracks(
        polished.points,
        point_colors(store, polished),
        error * original.width / tracking.width,
        tracks.point,
        frame_of[tracks.frame].astype(np.int64),
        distort_pixels(original, tracking, tracks.pixel),
    )


def point_colors(store: FrameStore, polished: Polished) -> UInt8[np.ndarray, 'p 3']:
    """Return the colour of each point where it is seen first."""
    tracks = polished.tracks
    first = np.searchsorted(tracks.point, np.arange(len(polished.points)))
    at = network_pixels(store, tracks.pixel[first])
    colors = np.zeros((len(first), 3), np.uint8)
    for frame in np.unique(tracks.frame[first]):
        own = tracks.frame[first] == frame
        colors[own] = store.color(int(frame))[at[own, 1], at[own, 0]]
    return colors


def network_pixels(store: FrameStore, pixels: Float[np.ndarray, 'n 2']) -> Int[np.ndarray, 'n 2']:
    """Return the pixels of the network's pictures nearest to those of the tracking pictures."""
    network, tracking = store.index.network, store.index.tracking
    scale = np.array([network.width / tracking.width, network.height / tracking.height])
    at = np.rint((pixels + 0.5) * scale - 0.5).astype(np.intp)
    return np.clip(at, 0, [network.width - 1, network.height - 1])


class _Subset:
    """Some pictures of a store."""

    def __init__(self, store: FrameStore, index: np.ndarray) -> None:
        self._store = store
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def grey(self, index: int) -> np.ndarray:
        return self._store.grey(int(self._index[index]))

    def usable(self, index: int) -> np.ndarray | None:
        return self._store.usable(int(self._index[index]))


class _Renumbered:
    """Depth maps of chosen frames, by number of the frame in the reconstruction."""

    def __init__(self, depth: DepthMaps, frame_of: np.ndarray) -> None:
        self._depth = depth
        self._chosen = {int(frame_of[k]): k for k in depth.frames()}

    def frames(self) -> list[int]:
        return sorted(self._chosen)

    def __getitem__(self, frame: int) -> DepthMap:
        return self._depth[self._chosen[frame]]
