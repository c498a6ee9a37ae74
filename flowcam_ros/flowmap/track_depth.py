# SPDX-License-Identifier: Apache-2.0
"""Where the points of tracks are to begin with, and which of their observations hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.bundle_problem import BundleResiduals, Charts, Observations
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.maps import Maps

# Squared error of an observation that holds, in units of its variance: 99.7 % of good ones.
_MAX_CHI2 = 12.0
# A point whose rays open by less has no depth of its own.
_MIN_ANGLE = np.deg2rad(0.2)


def hosts(tracks: Tracks) -> Int64[np.ndarray, ' p']:
    """Return the observation in the middle of each track, its least biased point of view."""
    begin = np.searchsorted(tracks.point, np.arange(tracks.points))
    return begin + np.bincount(tracks.point, minlength=tracks.points) // 2


def placed_points(
    tracks: Tracks, maps: Maps, lens: Lens, poses: Float[Tensor, 'f 4 4']
) -> tuple[Charts, Float[Tensor, 'p 3']]:
    """Return charts and coordinates of all points, by the depth of their host frames.

    Args:
        tracks: observations in tracking pictures.
        maps: depth of the frames.
        lens: of the tracking pictures.
        poses: world_from_camera.
    """
    host = hosts(tracks)
    frame = torch.from_numpy(tracks.frame[host]).to(poses.device)
    pixel = torch.from_numpy(tracks.pixel[host]).to(poses.device)
    inverse = maps.inverse_depth(frame, pixel).double()
    rays = lens.rays(pixel.double())
    charts = Charts(poses[frame, :3, 3], poses[frame, :3, :3])
    return charts, torch.cat([rays[:, :2], inverse.unsqueeze(-1)], -1)


def charts_at(
    tracks: Tracks, points: Float[Tensor, 'p 3'], poses: Float[Tensor, 'f 4 4']
) -> tuple[Charts, Float[Tensor, 'p 3']]:
    """Return charts and coordinates of points whose places in the world are known."""
    frame = torch.from_numpy(tracks.frame[hosts(tracks)]).to(poses.device)
    charts = Charts(poses[frame, :3, 3], poses[frame, :3, :3])
    local = (charts.axes.mT @ (points - charts.origin).unsqueeze(-1)).squeeze(-1)
    return charts, torch.cat([local[:, :2], torch.ones_like(local[:, :1])], -1) / local[:, 2:]


def observations_of(tracks: Tracks, device: torch.device) -> Observations:
    """Return tracks as observations of a bundle adjustment, without measured depth."""
    sigma = torch.from_numpy(tracks.sigma).double().to(device)
    nothing = torch.zeros_like(sigma)
    return Observations(
        torch.from_numpy(tracks.point).to(device),
        torch.from_numpy(tracks.frame).to(device),
        torch.from_numpy(tracks.pixel).double().to(device),
        sigma.square().reciprocal(),
        nothing,
        nothing,
    )


@dataclass(frozen=True)
class HeldTracks:
    """What of the tracks is consistent with a state.

    Attributes:
        observation: (m,) True for those that hold.
        point: (p,) True for points that keep at least two and have parallax.
    """

    observation: Bool[np.ndarray, ' m']
    point: Bool[np.ndarray, ' p']


def held(
    at: BundleResiduals, observations: Observations, charts: Charts, scale: float
) -> HeldTracks:
    """Return which observations a state explains, and which points those fix."""
    good = at.chi2_pixel <= _MAX_CHI2 * scale**2
    points = len(at.state.points)
    place = charts.world(at.state.points)
    ahead = at.state.points[:, 2] > 0
    good &= ahead[observations.point]
    centre = at.state.poses[observations.frame, :3, 3]
    ray = torch.nn.functional.normalize(place[observations.point] - centre, dim=-1)
    opening = _opening(ray[good], observations.point[good], points)
    count = torch.bincount(observations.point[good], minlength=points)
    fixed = ahead & (count >= 2) & (opening > _MIN_ANGLE) & place.isfinite().all(-1)
    good &= fixed[observations.point]
    return HeldTracks(good.cpu().numpy(), fixed.cpu().numpy())


def _opening(
    ray: Float[Tensor, 'n 3'], point: Int64[Tensor, ' n'], points: int
) -> Float[Tensor, ' p']:
    """Return about the largest angle between the rays of each point, radians."""
    mean = torch.nn.functional.normalize(ray.new_zeros(points, 3).index_add(0, point, ray), dim=-1)
    away = (ray - mean[point]).norm(dim=-1)
    return 2.0 * away.new_zeros(points).scatter_reduce(0, point, away, 'amax')


def selected(tracks: Tracks, kept: HeldTracks) -> tuple[Tracks, Int64[np.ndarray, ' q']]:
    """Return the tracks that hold, numbered anew, and the old number of each point."""
    use = kept.observation
    old, new = np.unique(tracks.point[use], return_inverse=True)
    return (
        Tracks(new.astype(np.int64), tracks.frame[use], tracks.pixel[use], tracks.sigma[use]),
        old.astype(np.int64),
    )


def in_order(tracks: Tracks) -> tuple[Tracks, Int64[np.ndarray, ' p']]:
    """Return tracks of which neighbours are seen by about the same frames.

    What is eliminated together in a bundle adjustment then concerns few frames; else the points of
    loops would bring together all of a recording.

    Returns:
        The tracks, their points numbered by the first, then the last frame that sees them, and the
        old number of each point.
    """
    begin = np.searchsorted(tracks.point, np.arange(tracks.points + 1))
    first, last = tracks.frame[begin[:-1]], tracks.frame[begin[1:] - 1]
    order = np.lexsort((last, first))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    point = number[tracks.point]
    place = np.argsort(point, kind='stable')
    ordered = Tracks(point[place], tracks.frame[place], tracks.pixel[place], tracks.sigma[place])
    return ordered, order.astype(np.int64)
