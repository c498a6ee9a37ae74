# SPDX-License-Identifier: Apache-2.0
"""Points of the window's key frames, found again in a new frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from flowcam_ros.correspondence.points import refine_points
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.expected_points import on_usable
from flowcam_ros.odometry.keyframe import Keyframe, look_up
from flowcam_ros.odometry.pair_prior import PairPrior
from flowcam_ros.odometry.reprojection import MIN_INVERSE_DEPTH, reproject

# Where depth is not measured the window finds it; this share of itself only keeps it finite.
_LOOSE_DEPTH = 10.0
# Points whose depth is known to this share of itself are sought where pose and depth put them.
_KNOWN_DEPTH = 0.2
# Found farther than this from there, it was something else.
_MAX_SURPRISE_PX = 3.0
_MIN_SOUGHT = 20


@dataclass(frozen=True)
class Host:
    """One key frame of the window with the n points that stand for it.

    Attributes:
        keyframe: with the newest pose.
        chosen: which of its points these are.
        inverse_depth: best estimate.
        variance: of that, were all poses right.
        measured: inverse depth known apart from the window.
        information: inverse variance of that.
    """

    keyframe: Keyframe
    chosen: Int[np.ndarray, ' n']
    inverse_depth: Float[np.ndarray, ' n']
    variance: Float[np.ndarray, ' n']
    measured: Float[np.ndarray, ' n']
    information: Float[np.ndarray, ' n']

    @property
    def pixels(self) -> Float[np.ndarray, 'n 2']:
        """Where the points lie."""
        return self.keyframe.points.pixels[self.chosen]


@dataclass(frozen=True)
class Sighting:
    """The points of one host in one later key frame; information 0 where not seen.

    Attributes:
        host: number of the key frame that the points belong to.
        target: number of the one that sees them.
        pixel: where.
        information: inverse variance of each coordinate.
        inverse_depth: measured in the target.
        depth_information: inverse variance of that.
        pair: what is known of the pose of host in target besides.
    """

    host: int
    target: int
    pixel: Float[np.ndarray, 'n 2']
    information: Float[np.ndarray, ' n']
    inverse_depth: Float[np.ndarray, ' n']
    depth_information: Float[np.ndarray, ' n']
    pair: PairPrior | None


def make_host(keyframe: Keyframe, measured: DepthEstimate | None, count: int) -> Host:
    """Choose at most ``count`` points of a key frame."""
    points = keyframe.points
    chosen = _choose(keyframe, count)
    depth = np.maximum(points.inverse_depth[chosen], MIN_INVERSE_DEPTH)
    variance = points.variance[chosen]
    if measured is None:
        return Host(keyframe, chosen, depth, variance, depth, 1.0 / (_LOOSE_DEPTH * depth) ** 2)
    known = _known_depth(measured, points.pixels[chosen], keyframe.frame)
    return Host(keyframe, chosen, depth, variance, *known)


def matched_before(host: Host, alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """Return where the points were found when the frame was fitted to their key frame.

    Returns:
        (n, 2) pixels and (n,) inverse variances, 0 for points that the fit did not explain.
    """
    count = len(alignment.kept)
    pixel, information = np.zeros((count, 2), np.float32), np.zeros(count)
    explained = 0.0 if alignment.explained is None else alignment.explained
    pixel[alignment.kept] = alignment.points.target.cpu().numpy()
    information[alignment.kept] = explained / alignment.points.pixel_variance.cpu().numpy()
    return pixel[host.chosen], information[host.chosen]


def sought(
    host: Host, frame: PreparedFrame, world_from_camera: Matrix4, max_inconsistency: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Look for the points where pose and depth put them; None if hardly any should be in view.

    Returns:
        As :func:`matched_before`.
    """
    guess, wanted = _expected(host, frame, world_from_camera)
    if np.count_nonzero(wanted) < _MIN_SOUGHT:
        return None
    source = host.keyframe
    matches = refine_points(
        source.frame.even.fine,
        frame.even.fine,
        host.pixels[wanted],
        source.texture[host.chosen][wanted],
        guess[wanted],
        max_inconsistency,
    )
    matches = on_usable(matches, frame)
    surprise = np.linalg.norm(matches.target - guess[wanted], axis=1)
    found = matches.valid & (surprise < _MAX_SURPRISE_PX)
    pixel, information = np.zeros_like(guess), np.zeros(len(guess))
    pixel[wanted] = np.where(found[:, None], matches.target, 0.0)
    information[wanted] = np.where(found, 1.0 / matches.sigma**2, 0.0)
    return pixel, information


def make_sighting(
    numbers: tuple[int, int],
    pixel: Float[np.ndarray, 'n 2'],
    information: Float[np.ndarray, ' n'],
    measured: DepthEstimate | None,
    frame: PreparedFrame,
    pair: PairPrior | None,
) -> Sighting:
    """Join matches of (host, target) with what was measured of the target's depth there."""
    if measured is None:
        none = np.zeros(len(pixel))
        return Sighting(*numbers, pixel, information, none, none, pair)
    depth, depth_information = _known_depth(measured, pixel, frame)
    return Sighting(
        *numbers, pixel, information, depth, depth_information * (information > 0), pair
    )


def _known_depth(
    measured: DepthEstimate, pixels: Float[np.ndarray, 'n 2'], frame: PreparedFrame
) -> tuple[Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return inverse depth and its inverse variance; zeros where unknown."""
    inside = np.clip(pixels, 0, (frame.camera.width - 1, frame.camera.height - 1))
    depth, variance = look_up(measured, inside.astype(np.float32), frame.camera)
    known = (depth > 0) & np.isfinite(variance)
    information = np.divide(1.0, variance, out=np.zeros(len(depth)), where=known)
    return np.where(known, depth, np.float32(0.0)), information


def _expected(
    host: Host, frame: PreparedFrame, world_from_camera: Matrix4
) -> tuple[np.ndarray, np.ndarray]:
    """Return where pose and depth put the points, and which are worth seeking there."""
    camera = frame.camera
    pose = se3.inverse(world_from_camera) @ host.keyframe.world_from_camera
    ray = rays(camera, torch.from_numpy(host.pixels).double()).mT
    depth = torch.from_numpy(host.inverse_depth).double()
    there = reproject(camera, ray, depth, torch.from_numpy(pose))
    guess = there.predicted[:2].mT.numpy().astype(np.float32)
    inside = (guess > 0).all(1) & (guess < (camera.width - 1, camera.height - 1)).all(1)
    known = host.variance < (_KNOWN_DEPTH * host.inverse_depth) ** 2
    return guess, inside & known & there.ahead.numpy()


def _choose(keyframe: Keyframe, count: int) -> Int[np.ndarray, ' n']:
    """Return at most ``count`` points, spread over the picture, the best textured of each part."""
    points = keyframe.points
    usable = np.flatnonzero((points.inverse_depth > 0) & np.isfinite(points.variance))
    if len(usable) <= count:
        return usable
    camera = keyframe.frame.camera
    cell = np.sqrt(camera.width * camera.height / count)
    columns = int(np.ceil(camera.width / cell))
    at = (points.pixels[usable] // cell).astype(np.intp)
    part = at[:, 1] * columns + at[:, 0]
    order = np.lexsort([-keyframe.texture[usable], part])
    first = np.unique(part[order], return_index=True)[1]
    return np.sort(usable[order[first]])[:count]
