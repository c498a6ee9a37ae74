# SPDX-License-Identifier: Apache-2.0
"""The points of one fit, with what the pose leaves unexplained of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.alignment import Alignment

_STUDENT_DOF = 4.0
_MEDIAN_CHI2 = 1.386  # of two degrees of freedom
_MIN_Z = 1e-3
_STEPS = 3
# of a field with six coefficients
_MIN_TREND_POINTS = 60

Points = Float[np.ndarray, 'n 2']
Values = Float[np.ndarray, ' n']


@dataclass(frozen=True)
class FittedPoints:
    """The matched points of an alignment that has a pose.

    Attributes:
        source: (n, 2) pixels in the key frame.
        target: (n, 2) pixels in the frame.
        residual: (n, 2) where pose and depth put the point, minus ``target``; the depth of each
            point is the best between what was known of it and what the match says.
        weight: (n,) how much a robust fit believes the point, 0 to 1.
        explained: (n,) whether it counts as an inlier.
    """

    source: Points
    target: Points
    residual: Points
    weight: Values
    explained: Bool[np.ndarray, ' n']

    @property
    def residual_px(self) -> Values:
        """Length of each residual, pixels."""
        return np.linalg.norm(self.residual, axis=1)

    def trend(self) -> float | None:
        """Return the share of the inliers' squared residuals in a smooth field, 0 to 1.

        The field is a quadratic over the picture. Noise has none; a large share means an error of
        the model: depth that is wrong or believed too much, the lens, a rolling shutter. None with
        few inliers.
        """
        good = self.explained
        if np.count_nonzero(good) < _MIN_TREND_POINTS:
            return None
        place = self.target[good] - self.target[good].mean(0)
        x, y = (place / np.maximum(np.abs(place).max(0), 1.0)).T
        root = np.sqrt(self.weight[good])[:, None]
        terms = root * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
        residual = root * self.residual[good]
        field = terms @ np.linalg.lstsq(terms, residual, rcond=None)[0]
        total = float(np.square(residual).sum())
        return float(np.square(field).sum()) / total if total > 0 else 0.0


def fitted_points(alignment: Alignment, camera: CameraModel) -> FittedPoints | None:
    """Return the points of an alignment; None where nothing was fitted."""
    if alignment.explained is None or not len(alignment.points):
        return None
    points = alignment.points
    source, target, variance, prior, prior_variance = (
        tensor.cpu().numpy()
        for tensor in (
            points.source,
            points.target,
            points.pixel_variance,
            points.inverse_depth,
            points.inverse_depth_variance,
        )
    )
    residual, change = _best_residuals(
        camera, alignment.target_from_source, source, target, variance, prior, prior_variance
    )
    chi2 = np.square(residual).sum(1) / variance + np.square(change) / prior_variance
    scale2 = max(float(np.median(chi2)) / _MEDIAN_CHI2, 1e-9)
    weight = 1.0 / (1.0 + chi2 / (_STUDENT_DOF * scale2))
    return FittedPoints(source, target, residual, weight, alignment.explained)


def _best_residuals(
    camera: CameraModel,
    pose: Matrix4,
    source: Points,
    target: Points,
    variance: Values,
    prior: Values,
    prior_variance: Values,
) -> tuple[Points, Values]:
    """Return the residuals (n, 2) and the changes of the inverse depths (n,) that leave least."""
    focal = np.array([camera.fx, camera.fy])
    centre = np.array([camera.cx, camera.cy])
    rays = np.column_stack([(source - centre) / focal, np.ones(len(source))])
    turned, shift = rays @ pose[:3, :3].T, pose[:3, 3]
    depth = prior.copy()
    for step in range(_STEPS + 1):
        moved = turned + depth[:, None] * shift
        z = np.maximum(moved[:, 2:], _MIN_Z)
        flat = moved[:, :2] / z
        residual = focal * flat + centre - target
        if step == _STEPS:
            break
        by_depth = focal * (shift[:2] - flat * shift[2]) / z
        curvature = np.square(by_depth).sum(1) / variance + 1.0 / prior_variance
        slope = (by_depth * residual).sum(1) / variance + (depth - prior) / prior_variance
        depth = np.maximum(depth - slope / curvature, 0.0)
    return residual, depth - prior
