# SPDX-License-Identifier: Apache-2.0
"""The pose of a picture from points of the world that were found in it.

The solver of the odometry fits the motion between two pictures to points of the first whose depth
is known. Here the first is a picture nobody took: that of a camera at the guessed pose, in which
the points of the world lie where they would be seen. So points found by way of several pictures
go into one fit.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import Matrix6, of_solver_inverse, rotated
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.multi_start import fit_from_best
from flowcam_ros.odometry.pose_problem import UNEXPLAINED_CHI2, PoseProblem
from flowcam_ros.odometry.pose_solver import PoseFit
from flowcam_ros.odometry.scene_flow import Correspondences

_ITERATIONS = 20
_MIN_POINTS = 6
# The points are as sure as this share of their distance: what error they have, the frames beside
# this one have in common with it.
_DEPTH_SIGMA = 1e-3
# Nearer than this share of the median distance a point is no landmark.
_NEAREST = 0.02
# A fit that leaves so much unexplained, 0 to 1, may have been led astray.
_MISFIT = 0.4
# Errors exceed what is known of them by this much at most; where more, the pose is wrong.
_MOST_SCALE = 2.0
_RANSAC_PX, _RANSAC_ROUNDS, _RANSAC_CONFIDENCE = 3.0, 500, 0.999


@dataclass(frozen=True)
class FoundPoints:
    """Points of the world and where a picture shows them.

    Attributes:
        points: (n, 3) in the world.
        pixels: (n, 2) in the picture, without distortion.
        variance: (n,) of a pixel coordinate.
    """

    points: Float[np.ndarray, 'n 3']
    pixels: Float[np.ndarray, 'n 2']
    variance: Float[np.ndarray, ' n']

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Resection:
    """A pose and how the points support it.

    Attributes:
        world_from_camera: the pose.
        covariance: (6, 6), see geometry/covariance.py, in the world's axes.
        explained: (n,) which of the points lie where the pose puts them.
    """

    world_from_camera: Matrix4
    covariance: Matrix6
    explained: Bool[np.ndarray, ' n']

    @property
    def inliers(self) -> int:
        """Number of points that the pose explains."""
        return int(np.count_nonzero(self.explained))


def resect(found: FoundPoints, camera: CameraModel, starts: list[Matrix4]) -> Resection | None:
    """Return the pose that explains the points best; None where too few leave it open.

    Args:
        found: the points.
        camera: undistorted, of the picture.
        starts: guesses of world_from_camera, the most trusted first.
    """
    source = _ahead(found, starts[0])
    if source is None:
        return None
    kept, local = source
    # the solver has limits to inverse depth, so it works in units of the distance of the points
    unit = float(np.median(local[:, 2]))
    points = _correspondences(local / unit, found.pixels[kept], found.variance[kept], camera)
    guesses = [_scaled(se3.inverse(start) @ starts[0], 1.0 / unit) for start in starts]
    problem = PoseProblem(points, camera)
    fit = fit_from_best(points, camera, guesses, _ITERATIONS, None)
    if problem.misfit(fit.target_from_source) > _MISFIT:
        sampled = _sampled(local / unit, found.pixels[kept], camera)
        if sampled is not None:
            agreed = _subset(points, sampled[1])
            again = fit_from_best(agreed, camera, [sampled[0]], _ITERATIONS, None)
            fit = min(fit, again, key=lambda f: problem.misfit(f.target_from_source))
    if not bool(torch.isfinite(fit.target_from_source).all()):
        return None
    return _result(problem, fit, kept, starts[0], unit)


def _ahead(
    found: FoundPoints, start: Matrix4
) -> tuple[Bool[np.ndarray, ' n'], Float[np.ndarray, 'm 3']] | None:
    """Return which points lie before the guessed camera, and where."""
    camera_from_world = se3.inverse(start)
    local = found.points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    ahead = local[:, 2] > 0
    if np.count_nonzero(ahead) < _MIN_POINTS:
        return None
    ahead = local[:, 2] > _NEAREST * np.median(local[ahead, 2])
    return ahead, local[ahead]


def _correspondences(
    local: Float[np.ndarray, 'n 3'],
    pixels: Float[np.ndarray, 'n 2'],
    variance: Float[np.ndarray, ' n'],
    camera: CameraModel,
) -> Correspondences:
    inverse = 1.0 / local[:, 2]
    source = local[:, :2] * inverse[:, None] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    zeros = np.zeros(len(local))
    arrays = (
        source,
        pixels,
        variance,
        inverse,
        np.square(_DEPTH_SIGMA * inverse),
        zeros,
        zeros + 1.0,
    )
    return Correspondences(*(torch.from_numpy(np.ascontiguousarray(a)).double() for a in arrays))


def _scaled(pose: Matrix4, factor: float) -> Matrix4:
    return se3.from_rotation_translation(pose[:3, :3], pose[:3, 3] * factor)


def _subset(points: Correspondences, index: Int[np.ndarray, ' m']) -> Correspondences:
    keep = torch.from_numpy(index)
    fields = (getattr(points, field.name) for field in dataclasses.fields(points))
    return Correspondences(*(field[keep] for field in fields))


def _sampled(
    local: Float[np.ndarray, 'n 3'], pixels: Float[np.ndarray, 'n 2'], camera: CameraModel
) -> tuple[Matrix4, Int[np.ndarray, ' m']] | None:
    """Return the pose that the most points agree on by random sampling, and which they are."""
    done, turn, shift, agreed = cv2.solvePnPRansac(
        np.ascontiguousarray(local, np.float64),
        np.ascontiguousarray(pixels, np.float64),
        camera.matrix,
        None,
        iterationsCount=_RANSAC_ROUNDS,
        reprojectionError=_RANSAC_PX,
        confidence=_RANSAC_CONFIDENCE,
        flags=cv2.SOLVEPNP_AP3P,
    )
    if not done or agreed is None or len(agreed) < _MIN_POINTS:
        return None
    if not np.isfinite(turn).all() or not np.isfinite(shift).all():
        return None
    pose = se3.from_rotation_translation(cv2.Rodrigues(turn)[0], shift.ravel())
    return pose, agreed.ravel().astype(np.int64)


def _result(
    problem: PoseProblem, fit: PoseFit, kept: Bool[np.ndarray, ' n'], start: Matrix4, unit: float
) -> Resection:
    camera_from_start = fit.target_from_source.cpu().numpy()
    covariance = of_solver_inverse(camera_from_start, fit.covariance.cpu().numpy())
    scale = np.diag([unit] * 3 + [1.0] * 3)
    covariance = rotated(scale @ covariance @ scale, start[:3, :3])
    pose = start @ se3.inverse(_scaled(camera_from_start, unit))
    explained = np.zeros(len(kept), bool)
    chi2 = problem.residuals(fit.target_from_source, problem.points.inverse_depth).chi2_pixel
    limit = UNEXPLAINED_CHI2 * min(fit.scale, _MOST_SCALE) ** 2
    explained[kept] = (chi2 < limit).cpu().numpy()
    return Resection(se3.orthonormalized(pose), covariance, explained)
