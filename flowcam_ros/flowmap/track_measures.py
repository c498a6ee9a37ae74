# SPDX-License-Identifier: Apache-2.0
"""How well the points of a refined recording fit what its frames saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flowcam_ros.flowmap.reconstruction import PointTracks, Reconstruction
from flowcam_ros.flowmap.report_data import Histogram, Residuals
from flowcam_ros.geometry.distortion import project

# A point fits if it is seen this near to where it should be, as a share of the picture's width.
_FITS = 0.006
_FEW_POINTS = 20
_BINS = 50
_LONGEST = 60  # frames; longer tracks are counted together


@dataclass(frozen=True)
class TrackMeasures:
    """What the points tell about a reconstruction.

    Attributes:
        residuals: distances between seen and projected points; points behind a camera have none.
        lengths: how many frames see each point.
        parallax_deg: angle between the first ray to a point and the one farthest from it, the
            median of all points; None without points.
        behind_share: observed points that lie behind the camera that saw them; None without any.
        weak_frames_share: chosen frames in which fewer than 20 points fit.
        pieces: groups of two or more chosen frames that share no points; None without points.
    """

    residuals: Residuals
    lengths: Histogram
    parallax_deg: float | None
    behind_share: float | None
    weak_frames_share: float
    pieces: int | None


def measure_tracks(reconstruction: Reconstruction) -> TrackMeasures:
    """Return how well the points fit; also for a reconstruction without any."""
    points = reconstruction.points
    frames = len(reconstruction.trajectory)
    distance, behind = _residuals(reconstruction)
    fits = distance <= _FITS * reconstruction.camera.width
    fitting = np.bincount(points.frame[fits], minlength=frames)[reconstruction.chosen]
    seen = np.bincount(points.point, minlength=len(points.positions))
    any_seen = len(points.point) > 0
    return TrackMeasures(
        residuals=_summary(distance, points, frames),
        lengths=_lengths(seen[seen > 0]),
        parallax_deg=_parallax_deg(reconstruction) if any_seen else None,
        behind_share=float(behind.mean()) if any_seen else None,
        weak_frames_share=float((fitting < _FEW_POINTS).mean()) if len(fitting) else 0.0,
        pieces=_pieces(reconstruction) if any_seen else None,
    )


def _residuals(
    reconstruction: Reconstruction,
) -> tuple[Float[np.ndarray, ' m'], Bool[np.ndarray, ' m']]:
    """Return distances in pixels, NaN behind the camera, and which points lie there."""
    points = reconstruction.points
    poses = reconstruction.trajectory.world_from_camera[points.frame]
    offset = points.positions[points.point] - poses[:, :3, 3]
    local = np.einsum('nji,nj->ni', poses[:, :3, :3], offset)  # the inverse turn is the transpose
    behind = local[:, 2] <= 0
    local[behind] = np.nan
    pixels = project(reconstruction.camera, local)
    return np.linalg.norm(pixels - points.pixels, axis=1), behind


def _summary(distance: Float[np.ndarray, ' m'], points: PointTracks, frames: int) -> Residuals:
    known = np.isfinite(distance)
    frame, distance = points.frame[known], distance[known]
    median, p90, top = (
        map(float, np.quantile(distance, [0.5, 0.9, 0.99])) if len(distance) else [np.nan] * 3
    )
    edges = np.linspace(0.0, max(np.nan_to_num(top), 1e-3), _BINS + 1)
    counts, _ = np.histogram(distance, edges)
    medians = np.full(frames, np.nan)
    order = np.argsort(frame, kind='stable')
    numbers, starts = np.unique(frame[order], return_index=True)
    for number, values in zip(numbers, np.split(distance[order], starts[1:]), strict=False):
        medians[number] = np.median(values)
    beyond = len(distance) - int(counts.sum())
    return Residuals(Histogram(edges, counts, beyond), median, p90, medians)


def _lengths(seen: Int64[np.ndarray, ' p']) -> Histogram:
    counts = np.bincount(np.minimum(seen, _LONGEST + 1), minlength=_LONGEST + 2)
    longest = int(np.flatnonzero(counts[: _LONGEST + 1]).max(initial=1))
    return Histogram(
        np.arange(1, longest + 2) - 0.5, counts[1 : longest + 1], int(counts[_LONGEST + 1])
    )


def _parallax_deg(reconstruction: Reconstruction) -> float:
    points = reconstruction.points
    centres = reconstruction.trajectory.positions[points.frame]
    rays = points.positions[points.point] - centres
    rays = rays / np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    order = np.lexsort((points.frame, points.point))
    rays, point = rays[order], points.point[order]
    numbers, starts = np.unique(point, return_index=True)
    first = rays[starts][np.searchsorted(numbers, point)]
    # The angle by the chord: exact for the small ones that matter.
    angle = 2.0 * np.arcsin(np.clip(np.linalg.norm(rays - first, axis=1) / 2.0, 0.0, 1.0))
    return float(np.degrees(np.median(np.maximum.reduceat(angle, starts))))


def _pieces(reconstruction: Reconstruction) -> int:
    points, frames = reconstruction.points, len(reconstruction.trajectory)
    size = frames + len(points.positions)
    edges = (np.ones(len(points.frame), bool), (points.frame, frames + points.point))
    _, label = connected_components(coo_array(edges, shape=(size, size)), directed=False)
    sizes = np.bincount(label[:frames][reconstruction.chosen])
    return int((sizes >= 2).sum())
