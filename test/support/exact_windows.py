# SPDX-License-Identifier: Apache-2.0
"""Windows of exact views, each in a world of its own: how they lie to each other is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from exact_views import HEIGHT, WIDTH, ExactViews

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.window_relation import WindowPoints
from flowcam_ros.flowmap.window_work import WindowResult
from flowcam_ros.flowmap.windows import tracks_of
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.similarity import (
    inverse,
    moved_points,
    moved_poses,
    scale_of,
    similarity,
)


def random_similarity(random: np.random.Generator, size: float = 1.0) -> Matrix4:
    """Return a similarity with a shift of about ``size``, any turn, and a factor around 1."""
    step = random.normal(size=7) * [size, size, size, 1.0, 1.0, 1.0, 0.5]
    return similarity(step)


def seen_by_two(views: ExactViews, points: np.ndarray) -> np.ndarray:
    """Return those of the points that at least two frames see: what ``views.tracks`` numbers."""
    shown = np.stack([views.seen(k, points)[1] for k in range(len(views.poses))])
    return points[shown.sum(0) > 1]


def window_points(
    views: ExactViews, points: np.ndarray, tracks: Tracks, frames: range, world: Matrix4
) -> WindowPoints:
    """Return what a window would have found without any error.

    Args:
        views: all frames.
        points: (p, 3) of the tracks, in the world of the views.
        tracks: of all frames.
        frames: of the window.
        world: world_from_window.
    """
    use = np.isin(np.arange(len(views.poses)), frames)
    part, number = tracks_of(tracks, use[tracks.frame])
    part = dataclasses.replace(part, frame=part.frame - frames.start)
    back = inverse(world)
    return WindowPoints(
        number,
        moved_points(back, points[number]),
        part,
        moved_poses(back, views.poses[frames.start : frames.stop]),
        views.lens,
    )


def window_results(
    views: ExactViews,
    points: np.ndarray,
    tracks: Tracks,
    windows: Sequence[range],
    worlds: Sequence[Matrix4],
) -> list[WindowResult]:
    """Return exact windows with depth maps of 32 x 24 pixels; ``worlds`` are world_from_window."""
    depth = views.maps(32, 24).log_inverse.numpy()
    results = []
    for frames, world in zip(windows, worlds, strict=True):
        everywhere = np.ones(len(frames), bool)
        own = depth[frames.start : frames.stop] + np.float32(np.log(scale_of(world)))
        found = window_points(views, points, tracks, frames, world)
        results.append(
            WindowResult(frames, own, (WIDTH, HEIGHT), everywhere, everywhere, found, 0.01)
        )
    return results
