# SPDX-License-Identifier: Apache-2.0
"""How two windows of a recording lie to each other: a similarity, from points that both found.

Windows have such points where they share frames, and where loops join their pictures. The points
of one are put before the cameras of the other, both ways: what they should look like there is
known, so errors count in pixels, and far points, whose depth is unsure, do no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import least_squares

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.lens import CENTRE_X, CENTRE_Y, Lens
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.similarity import (
    fit_similarity,
    inverse,
    moved_points,
    similarity,
    step_of,
)

# Fewer common points say nothing.
_MIN_POINTS = 20
# Of the points, this share must land near where they were seen.
_MIN_SHARE = 0.5
# Near: of the longer side of the picture. Windows bend differently, so it is more than noise.
_NEAR = 0.005
_SAMPLES, _SAMPLE = 500, 4
_INLIER_SIGMAS, _SIGMA_OF_MAD = 3.0, 1.4826
# More observations tell nothing new.
_MOST_OBSERVATIONS = 4000
# How far windows drift, whatever the pixels say: of the depth, radians, of the scale.
_DRIFT = np.array([0.01, 0.01, 0.01, 0.005, 0.005, 0.005, 0.01])


@dataclass(frozen=True)
class WindowPoints:
    """What a window found, as far as other windows can be held against it.

    Attributes:
        number: (p,) of each point in the recording, no two alike.
        points: (p, 3) in the window's world.
        tracks: their observations in the window's frames, counted from 0.
        poses: (f, 4, 4) world_from_camera of its frames.
        lens: of its frames.
    """

    number: Int64[np.ndarray, ' p']
    points: Float[np.ndarray, 'p 3']
    tracks: Tracks
    poses: Float[np.ndarray, 'f 4 4']
    lens: Lens


@dataclass(frozen=True)
class Relation:
    """One window's world seen from another's.

    Attributes:
        first: number of a window.
        second: number of the other.
        first_from_second: the similarity.
        centre: (3,) in the second's world, about which errors are counted.
        root_information: (7, 7) whose product with an error step is as likely as noise of 1.
        points: how many agree on it.
    """

    first: int
    second: int
    first_from_second: Matrix4
    centre: Float[np.ndarray, ' 3']
    root_information: Float[np.ndarray, '7 7']
    points: int

    def error(self, world_from_first: Matrix4, world_from_second: Matrix4) -> np.ndarray:
        """Return the step (7,) by which two windows lie off this relation."""
        off = inverse(world_from_first @ self.first_from_second) @ world_from_second
        # the same motion in coordinates whose origin is the centre
        off[:3, 3] += off[:3, :3] @ self.centre - self.centre
        return step_of(off)


def relate(first: int, second: int, windows: Sequence[WindowPoints]) -> Relation | None:
    """Return how two windows lie to each other; None where too little agrees on it.

    Args:
        first: number of a window.
        second: number of the other.
        windows: all of them.
    """
    one, other = windows[first], windows[second]
    common, at_one, at_other = np.intersect1d(
        one.number, other.number, assume_unique=True, return_indices=True
    )
    if len(common) < _MIN_POINTS:
        return None
    near, far = _Sights.of(one, at_one), _Sights.of(other, at_other)
    start = _start(far, near)
    return _fitted(first, second, start, near, far)


@dataclass(frozen=True)
class _Sights:
    """Common points of two windows as one of them has them; k points, n observations.

    Attributes:
        points: (k, 3).
        depth: (k,) mean distance from the cameras that see it.
        point: (n,) which one was observed.
        pixel: (n, 2) where.
        camera: (n, 4, 4) camera_from_world of the frame.
        lens: of all.
    """

    points: Float[np.ndarray, 'k 3']
    depth: Float[np.ndarray, ' k']
    point: Int64[np.ndarray, ' n']
    pixel: Float[np.ndarray, 'n 2']
    camera: Float[np.ndarray, 'n 4 4']
    lens: Lens

    @classmethod
    def of(cls, window: WindowPoints, chosen: Int64[np.ndarray, ' k']) -> _Sights:
        place = np.full(len(window.points), -1)
        place[chosen] = np.arange(len(chosen))
        tracks = window.tracks
        seen = np.flatnonzero(place[tracks.point] >= 0)
        points, point = window.points[chosen], place[tracks.point[seen]]
        poses = window.poses[tracks.frame[seen]]
        distance = np.linalg.norm(points[point] - poses[:, :3, 3], axis=1)
        count = np.maximum(np.bincount(point, minlength=len(chosen)), 1)
        depth = np.bincount(point, distance, len(chosen)) / count
        some = np.unique(
            np.linspace(0, len(seen) - 1, min(len(seen), _MOST_OBSERVATIONS)).astype(np.int64)
        )
        return cls(
            points,
            depth,
            point[some],
            tracks.pixel[seen[some]].astype(np.float64),
            np.linalg.inv(poses[some]),
            window.lens,
        )

    def errors(self, points: Float[np.ndarray, 'k 3']) -> Float[np.ndarray, 'n 2']:
        """Return by how many pixels the points lie off where they were seen."""
        seen = points[self.point]
        local = (self.camera[:, :3, :3] @ seen[..., None])[..., 0] + self.camera[:, :3, 3]
        return self.lens.project(torch.from_numpy(local)).numpy() - self.pixel


def _start(source: _Sights, target: _Sights) -> Matrix4:
    """Return about the similarity between common points, most of which must be right."""
    random = np.random.default_rng(0)
    weight = 1.0 / target.depth**2
    count = len(weight)
    sample = random.integers(0, count, (_SAMPLES, _SAMPLE))
    tried = fit_similarity(source.points[sample], target.points[sample], weight[sample])
    off = [_relative(candidate, source, target) for candidate in tried]
    spread = np.median(np.stack(off), axis=1)
    best = int(np.argmin(spread))
    good = off[best] <= max(_INLIER_SIGMAS * _SIGMA_OF_MAD * spread[best], 1e-9)
    return fit_similarity(source.points[good], target.points[good], weight[good])


def _relative(
    target_from_source: Matrix4, source: _Sights, target: _Sights
) -> Float[np.ndarray, ' k']:
    """Return how far off points are, as shares of their depths."""
    moved = moved_points(target_from_source, source.points)
    return np.linalg.norm(moved - target.points, axis=1) / target.depth


def _fitted(
    first: int, second: int, start: Matrix4, near: _Sights, far: _Sights
) -> Relation | None:
    """Refine the similarity on pixels, and return it if enough points agree on it."""
    centre = np.median(far.points, axis=0)
    depth = float(np.median(far.depth))
    unit = np.array([depth, depth, depth, 1.0, 1.0, 1.0, 1.0])
    there, back = _shift(centre), _shift(-centre)

    def placed(step: Float[np.ndarray, ' 7']) -> Matrix4:
        return start @ there @ similarity(step * unit) @ back

    def errors(step: Float[np.ndarray, ' 7']) -> np.ndarray:
        first_from_second = placed(step)
        return np.concatenate(
            [
                near.errors(moved_points(first_from_second, far.points)),
                far.errors(moved_points(inverse(first_from_second), near.points)),
            ]
        ).ravel()

    tolerance = _NEAR * 2.0 * float(near.lens.numbers[[CENTRE_X, CENTRE_Y]].max())

    def clipped(step: Float[np.ndarray, ' 7']) -> np.ndarray:
        # a point behind a camera has no pixel: far off is far enough
        return np.clip(errors(step), -1e3 * tolerance, 1e3 * tolerance)

    fit = least_squares(
        clipped,
        np.zeros(7),
        loss='cauchy',
        f_scale=0.3 * tolerance,
        max_nfev=50,
    )
    off = np.linalg.norm(errors(fit.x).reshape(-1, 2), axis=1)
    good = off < tolerance
    # observations of the first see points of the second, and the other way round
    both = np.concatenate([near.point, far.point])
    points = len(np.unique(both[good]))
    if points < _MIN_POINTS or good.mean() < _MIN_SHARE:
        return None
    slopes = np.asarray(fit.jac)
    scale = max(float(np.median(off)), 0.1)
    covariance = np.linalg.pinv(slopes.T @ slopes / scale**2) + np.diag(_DRIFT**2)
    information = np.linalg.inv(unit[:, None] * covariance * unit)
    return Relation(
        first, second, placed(fit.x), centre, np.linalg.cholesky(information).T, points
    )


def _shift(way: Float[np.ndarray, ' 3']) -> Matrix4:
    moved = np.eye(4)
    moved[:3, 3] = way
    return moved
