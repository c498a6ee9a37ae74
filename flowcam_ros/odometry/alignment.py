# SPDX-License-Identifier: Apache-2.0
"""How one frame fits one key frame."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.correspondence.points import FINE_WINDOW, MODEL_ERROR
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import Matrix6, of_solver_inverse
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.pair_prior import PairPrior
from flowcam_ros.odometry.pose_solver import PoseFit
from flowcam_ros.odometry.scene_flow import Correspondences
from flowcam_ros.odometry.surface_alignment import SurfaceFit
from flowcam_ros.odometry.unlearnt import unlearnt_covariance

# So many points share one error of the model of lens, shutter and view.
_ALIKE = 10.0
# Depth images agree on a pose when this share of the surface lies where it should.
AGREES = 0.95
# Depth that by itself leaves the camera's place less sure than this (m) holds no pose.
_HELD_SIGMA = 0.02
# Poses whose agreement differs by less are told apart by the points.
SAME_AGREEMENT = 0.01
# Standard deviation of one coordinate from the median length of a 2-D error.
_SIGMA_OF_MEDIAN = 1.0 / 1.1774


@dataclass(frozen=True)
class Alignment:
    """How a frame fits a key frame.

    Attributes:
        flow: dense, from the key frame to the frame.
        points: the matched points with their depths.
        kept: which points of the key frame these are.
        followed: points of the key frame whose flow stayed in the picture.
        matched: points that also came back to where they started and have depth.
        inliers: matched points that the pose explains.
        target_from_source: pose of the key frame in the frame's camera; the start if no fit.
        covariance: (6, 6) of source_from_target in the key frame's axes; None without a fit.
        explained: which of the matched points are inliers; None without a fit.
        translation_sigma: standard deviation of the translation, m.
        residual_px: robust standard deviation of the reprojection residual, pixels.
        condition: condition number of the fit.
        likeness: factor on ``covariance`` as all points share the error of lens, shutter and view.
        overlap: another, as close points share the noise of the image.
        median_flow_px: median displacement of the matched points.
        parallax_px: median displacement that the translation alone explains.
        holds_translation: the translation is an expectation, the pictures do not tell it.
        surface: what the depth images alone say of the pose; None without both.
        agreement: share of the key frame's surface that the frame's depth confirms.
    """

    flow: DenseFlow
    points: Correspondences
    kept: Bool[np.ndarray, ' n']
    followed: int
    matched: int
    inliers: int
    target_from_source: Matrix4
    covariance: Matrix6 | None
    explained: Bool[np.ndarray, ' m'] | None = None
    translation_sigma: float = float('inf')
    residual_px: float = 0.0
    condition: float = float('inf')
    likeness: float = 1.0
    overlap: float = 1.0
    median_flow_px: float = 0.0
    parallax_px: float = 0.0
    holds_translation: bool = False
    surface: PairPrior | None = None
    agreement: float = 0.0

    @property
    def displacement(self) -> Float[np.ndarray, 'height width 2']:
        """Dense flow from the key frame to the frame, pixels."""
        return self.flow.displacement

    @property
    def inlier_ratio(self) -> float:
        """Share of the matched points that the pose explains."""
        return self.inliers / self.matched if self.matched else 0.0

    @property
    def alike(self) -> float:
        """Factor on ``covariance`` for all that the errors of points have in common."""
        return self.likeness + self.overlap - 1.0

    @property
    def length_sigma(self) -> float:
        """Standard deviation of the length of the way, as a share of it; at most 1."""
        assert self.covariance is not None  # there is no way without a fit
        way = se3.inverse(self.target_from_source)[:3, 3]
        square = float(way @ way)
        variance = self.alike * float(way @ self.covariance[:3, :3] @ way)
        return (variance**0.5 / square) if variance < square**2 else 1.0

    @property
    def agrees(self) -> bool:
        """Whether the depth images lie on each other nearly everywhere, at a pose they tell.

        Surfaces that slide along each other agree anywhere, and where points are sought near
        where a pose puts them, mere noise yields some that fit it.
        """
        if self.covariance is None or self.surface is None or self.agreement < AGREES:
            return False
        root, failed = torch.linalg.cholesky_ex(self.surface.hessian)
        if int(failed):
            return False
        return _translation_sigma(torch.cholesky_inverse(root).cpu().numpy()) <= _HELD_SIGMA


def fitted(
    unfitted: Alignment,
    camera: CameraModel,
    fit: PoseFit,
    inlier_threshold: float,
    variance_before: Float[Tensor, ' n'] | None,
) -> Alignment:
    """Return an alignment with what the fit of its points found.

    Args:
        unfitted: the alignment so far.
        camera: of both pictures.
        fit: of its points.
        inlier_threshold: how far from where the pose puts it an inlier may be, pixels.
        variance_before: of the inverse depths before frames like this taught them; None where
            they did not.
    """
    points = unfitted.points
    error_px = (fit.chi2 * points.pixel_variance).sqrt()
    explained = error_px < inlier_threshold
    pose = fit.target_from_source.cpu().numpy()
    covariance = fit.covariance.cpu().numpy()
    sigma = _translation_sigma(covariance)
    if variance_before is not None:
        covariance = unlearnt_covariance(points, camera, fit, variance_before).cpu().numpy()
    return dataclasses.replace(
        unfitted,
        explained=explained.cpu().numpy(),
        inliers=int(explained.sum()),
        target_from_source=pose,
        covariance=of_solver_inverse(pose, covariance),
        translation_sigma=sigma,
        residual_px=float(_SIGMA_OF_MEDIAN * error_px.median()),
        condition=fit.condition,
        parallax_px=_parallax(points, camera, fit),
        surface=_pair_prior(fit, unfitted.likeness),
        agreement=fit.surface.agreement if fit.surface else 0.0,
    )


def by_depth(alignment: Alignment, fit: SurfaceFit) -> Alignment:
    """Return an alignment with the pose of the depth images: no point says more."""
    pose = fit.target_from_source.cpu().numpy()
    covariance = fit.covariance.cpu().numpy()
    none = np.zeros(len(alignment.points), bool)
    return dataclasses.replace(
        alignment,
        inliers=0,
        explained=none,
        target_from_source=pose,
        covariance=of_solver_inverse(pose, covariance),
        translation_sigma=_translation_sigma(covariance),
        residual_px=0.0,
        condition=fit.condition,
        likeness=1.0,
        overlap=1.0,
        surface=PairPrior(fit.target_from_source, fit.hessian, torch.zeros_like(fit.hessian[0])),
        agreement=fit.agreement,
    )


def most_trusted(candidates: list[Alignment]) -> Alignment:
    """Return the alignment that explains most points of those that explain the depth best."""
    agreeing = [a for a in candidates if a.agrees]
    if not agreeing:
        return max(candidates, key=lambda a: a.inliers)
    agreement = max(a.agreement for a in agreeing)
    return max(
        (a for a in agreeing if a.agreement > agreement - SAME_AGREEMENT), key=lambda a: a.inliers
    )


def overlap(count: int, camera: CameraModel) -> float:
    """Return how many of the points share one error because their windows overlap.

    The noise of an image is in the windows of all points nearby; two of them share what their
    windows have in common.
    """
    spacing = np.sqrt(camera.width * camera.height / max(count, 1))
    apart = spacing * np.arange(1, FINE_WINDOW) / FINE_WINDOW
    return float((1.0 + 2.0 * np.maximum(1.0 - apart, 0.0).sum()) ** 2)


def likeness(flow_px: float, pixel_variance: Tensor) -> float:
    """Return the factor that a covariance of independent points has to grow by.

    What lens, shutter and changing views add to flow is smooth over the picture: many points
    share one error, which does not average out.
    """
    share = (MODEL_ERROR * flow_px) ** 2 / float(pixel_variance.median())
    return 1.0 + _ALIKE * min(share, 1.0)


def _pair_prior(fit: PoseFit, count: float) -> PairPrior | None:
    if fit.surface is None:
        return None
    hessian, gradient = fit.surface.belief()
    return PairPrior(fit.target_from_source, hessian / count, gradient / count)


def _translation_sigma(covariance: Matrix6) -> float:
    return float(np.sqrt(np.trace(covariance[:3, :3]) / 3.0))


def _parallax(points: Correspondences, camera: CameraModel, fit: PoseFit) -> float:
    """Return how far from where rotation alone puts them the points are, median pixels."""
    pose = fit.target_from_source
    rotated = rays(camera, points.source) @ pose[:3, :3].T
    moved = rotated + fit.inverse_depth.unsqueeze(-1) * pose[:3, 3]
    gap = moved[:, :2] / moved[:, 2:] - rotated[:, :2] / rotated[:, 2:]
    return float(gap.norm(dim=-1).median()) * camera.fx
