# SPDX-License-Identifier: Apache-2.0
"""From the unit of a reconstruction to metres, where anything tells what those are."""

from __future__ import annotations

import dataclasses

from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.measured import depths_at_points
from flowcam_ros.flowmap.path_scale import KnownPath, scale_from_path
from flowcam_ros.flowmap.polish import Polished
from flowcam_ros.flowmap.scale import (
    MetricScale,
    scale_from_depth,
)
from flowcam_ros.geometry.trajectory import Trajectory


def to_metres(
    store: FrameStore, polished: Polished, known: KnownPath | None
) -> tuple[Polished, MetricScale | None]:
    """Return the result in metres, and the scale; measured depth tells it before a known path.

    Where neither is there, or both contradict themselves, the unit stays as it is.

    Args:
        store: the frames, with measured depth if there is any.
        polished: poses, lens and points in any unit.
        known: path in metres, or None.
    """
    scale = None
    if store.index.depth_source:
        samples = (found for _, found, _ in depths_at_points(store, polished))
        scale = scale_from_depth(samples, store.index.depth_source)
    if known is not None and (scale is None or scale.factor is None):
        held = polished.held
        path = Trajectory(store.stamps_ns[held], polished.poses.numpy()[held])
        told = scale_from_path(path, known)
        scale = told if scale is None or told.factor is not None else scale
    if scale is None or scale.factor is None:
        return polished, scale
    return scaled(polished, scale.factor), scale


def scaled(polished: Polished, factor: float) -> Polished:
    """Return the result with all lengths multiplied by ``factor``."""
    poses = polished.poses.clone()
    poses[:, :3, 3] *= factor
    return dataclasses.replace(polished, poses=poses, points=polished.points * factor)
