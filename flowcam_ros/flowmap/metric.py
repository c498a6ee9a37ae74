# SPDX-License-Identifier: Apache-2.0
"""From the unit of a reconstruction to metres, where depth was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from flowcam_ros.flowmap.frame_store import FrameStore, MeasuredDepth
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.scale import DepthSamples, MetricScale, scale_from_depth


def to_metres(store: FrameStore, polished: Polished) -> tuple[Polished, MetricScale | None]:
    """Return the result in metres if its frames have measured depth, and the scale.

    Without measured depth, or where it contradicts itself, the unit stays as it is.
    """
    if not store.index.depth_source:
        return polished, None
    scale = scale_from_depth(_samples(store, polished), store.index.depth_source)
    if scale.factor is None:
        return polished, scale
    return scaled(polished, scale.factor), scale


def scaled(polished: Polished, factor: float) -> Polished:
    """Return the result with all lengths multiplied by ``factor``."""
    poses = polished.poses.clone()
    poses[:, :3, 3] *= factor
    return dataclasses.replace(polished, poses=poses, points=polished.points * factor)


def _samples(store: FrameStore, polished: Polished) -> Iterator[DepthSamples]:
    tracks = polished.tracks
    poses = polished.poses.numpy()
    for frame in range(len(store)):
        measured = store.measured_depth(frame)
        if measured is None:
            continue
        seen = tracks.frame == frame
        away = polished.points[tracks.point[seen]] - poses[frame, :3, 3]
        inverse, variance = measured_at(store, measured, tracks.pixel[seen])
        yield DepthSamples(away @ poses[frame, :3, 2], inverse, variance)


def measured_at(
    store: FrameStore, measured: MeasuredDepth, pixel: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return measured inverse depth and its variance at (n, 2) pixels of the tracking picture."""
    tracking, camera = store.index.tracking, measured.camera
    scale = np.array([camera.width / tracking.width, camera.height / tracking.height])
    at = np.rint((pixel + 0.5) * scale - 0.5).astype(np.intp)
    at = np.clip(at, 0, [camera.width - 1, camera.height - 1])
    return measured.inverse_depth[at[:, 1], at[:, 0]], measured.variance[at[:, 1], at[:, 0]]
