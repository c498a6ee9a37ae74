# SPDX-License-Identifier: Apache-2.0
"""From the unit of a reconstruction to metres, where depth was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.scale import (
    DepthSamples,
    MetricScale,
    depth_samples,
    scale_from_depth,
)


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
        seen = tracks.frame == frame
        away = polished.points[tracks.point[seen]] - poses[frame, :3, 3]
        z = away @ poses[frame, :3, 2]
        samples = depth_samples(store, frame, tracks.pixel[seen], z)
        if samples is not None:
            yield samples
