# SPDX-License-Identifier: Apache-2.0
"""Optical flow lifted to 3-D scene flow with the depths of both ends (FlowCam, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.correspondence.points import RefinedPoints
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.procrustes import weighted_procrustes
from flowcam_ros.geometry.projection import rays
from flowcam_ros.odometry.keyframe import Keyframe, look_up

# Below this the closed-form rotation is no better than a guess.
_MIN_CONDITIONING = 1e-4
_MIN_POINTS = 12
# Depths as unsure as this share of themselves were guessed from neighbours. Such guesses err
# alike, by more than they are worth where so many points are known better.
_GUESSED, _KNOWN, _ENOUGH = 0.4, 0.2, 100
_LOOSER = 4.0


@dataclass(frozen=True)
class Correspondences:
    """Matched points of a source and a target image; all tensors float64, one device.

    Attributes:
        source: (n, 2) pixels in the source image.
        target: (n, 2) pixels in the target image.
        pixel_variance: (n,) of each target coordinate, pixels^2.
        inverse_depth: (n,) of the source points, 1/m.
        inverse_depth_variance: (n,) finite; large where hardly known.
        target_inverse_depth: (n,) measured at the target pixel; 0 where unknown.
        target_inverse_depth_variance: (n,) finite.
    """

    source: Float[Tensor, 'n 2']
    target: Float[Tensor, 'n 2']
    pixel_variance: Float[Tensor, ' n']
    inverse_depth: Float[Tensor, ' n']
    inverse_depth_variance: Float[Tensor, ' n']
    target_inverse_depth: Float[Tensor, ' n']
    target_inverse_depth_variance: Float[Tensor, ' n']

    def __len__(self) -> int:
        return len(self.source)


def lift(
    keyframe: Keyframe,
    matched: RefinedPoints,
    target_depth: DepthEstimate | None,
    device: torch.device,
) -> tuple[Correspondences, Bool[np.ndarray, ' n']]:
    """Join the matched points of a key frame with the depth of both images.

    Returns:
        The correspondences, and which points of the key frame they are: points that are not
        matched or whose depth is unknown are left out.
    """
    points = keyframe.points
    keep = matched.valid & (points.inverse_depth > 0) & np.isfinite(points.variance)
    target = matched.target[keep]
    target_inverse: np.ndarray = np.zeros(len(target), np.float32)
    target_variance: np.ndarray = np.ones(len(target), np.float32)
    if target_depth is not None:
        found, found_variance = look_up(target_depth, target, keyframe.frame.camera)
        known = (found > 0) & np.isfinite(found_variance)
        target_inverse = np.where(known, found, np.float32(0.0))
        target_variance = np.where(known, found_variance, np.float32(1.0))
    arrays = (
        points.pixels[keep],
        target,
        matched.sigma[keep] ** 2,
        points.inverse_depth[keep],
        without_guesses(points.inverse_depth[keep], points.variance[keep]),
        target_inverse,
        target_variance,
    )
    tensors = (torch.from_numpy(a).to(device, torch.float64) for a in arrays)
    return Correspondences(*tensors), keep


def without_guesses(
    inverse_depth: Float[np.ndarray, ' n'], variance: Float[np.ndarray, ' n']
) -> Float[np.ndarray, ' n']:
    """Return variances of inverse depths, loose where they are no more than guesses."""
    guessed = are_guesses(inverse_depth, variance)
    return np.where(guessed, np.float32(_LOOSER) * variance, variance)


def are_guesses(
    inverse_depth: Float[np.ndarray, ' n'], variance: Float[np.ndarray, ' n']
) -> Bool[np.ndarray, ' n']:
    """Return which depths are no more than guesses, where enough others are known."""
    if np.count_nonzero(variance < (_KNOWN * inverse_depth) ** 2) < _ENOUGH:
        return np.zeros(len(variance), bool)
    return variance > (_GUESSED * inverse_depth) ** 2


def closed_form_pose(points: Correspondences, camera: CameraModel) -> Float[Tensor, '4 4'] | None:
    """Return the rigid motion of the scene flow, where both depths are measured.

    Weighted Procrustes with the inverse of each point pair's depth variance as weight, once more
    without the half that fits worst. None where fewer than 12 points, or points on a line, leave
    it open.
    """
    known = points.target_inverse_depth > 0
    if int(known.sum()) < _MIN_POINTS:
        return None
    z_source = 1.0 / points.inverse_depth[known]
    z_target = 1.0 / points.target_inverse_depth[known]
    source = rays(camera, points.source[known]) * z_source.unsqueeze(-1)
    target = rays(camera, points.target[known]) * z_target.unsqueeze(-1)
    variance = (
        points.inverse_depth_variance[known] * z_source**4
        + points.target_inverse_depth_variance[known] * z_target**4
        + points.pixel_variance[known] * (z_target / camera.fx) ** 2
    )
    weights = 1.0 / variance
    fit = weighted_procrustes(source, target, weights)
    residual = (source @ fit.rotation.T + fit.translation - target).norm(dim=-1) / variance.sqrt()
    kept = weights * (residual <= residual.median())
    fit = weighted_procrustes(source, target, kept)
    if float(fit.conditioning) < _MIN_CONDITIONING:
        return None
    pose = torch.eye(4, dtype=torch.float64, device=source.device)
    pose[:3, :3], pose[:3, 3] = fit.rotation, fit.translation
    return pose
