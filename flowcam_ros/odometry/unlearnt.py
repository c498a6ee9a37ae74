# SPDX-License-Identifier: Apache-2.0
"""Covariance of a fit on depths that were learnt from fits like it.

Frames of one key frame teach it depths, and depths tell the next frame its pose: whatever was
wrong with the first poses stays in both, however many frames agree. So the covariance is that of
a fit on the depths as they were before, and only the length of the way is known as well as the
depths say: its error is that of the scale of the map, see ``map_scale.py``.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.covariance import of_information
from flowcam_ros.odometry.pose_problem import PoseProblem
from flowcam_ros.odometry.pose_solver import PoseFit
from flowcam_ros.odometry.reprojection import derivatives
from flowcam_ros.odometry.robust import FORGIVING, robust_scale
from flowcam_ros.odometry.scene_flow import Correspondences

# A way as short as this has no length to know, in the unit of the map.
_NO_WAY = 1e-9


def unlearnt_covariance(
    points: Correspondences,
    camera: CameraModel,
    fit: PoseFit,
    variance_before: Float[Tensor, ' n'],
) -> Float[Tensor, '6 6']:
    """Return the covariance of a fit as ``PoseFit`` has it, with what depths were before learning.

    Args:
        points: the correspondences of the fit.
        camera: of both pictures.
        fit: on what is known of the depths by now.
        variance_before: of the inverse depths before frames like this taught them.
    """
    before = dataclasses.replace(points, inverse_depth_variance=variance_before)
    problem = PoseProblem(before, camera)
    pose = fit.target_from_source
    system = problem.normal_equations(problem.residuals(pose, fit.inverse_depth), 1.0, FORGIVING)
    depth = system.updated_depth(fit.inverse_depth, pose.new_zeros(6))
    at = problem.residuals(pose, depth)
    by_depth = derivatives(camera, at.seen)[1]
    told = (by_depth[:2] ** 2).sum(0) / points.pixel_variance
    absorbed = float((told / (told + 1.0 / variance_before)).mean())
    scale = robust_scale(at.chi2_pixel, 2.0 - absorbed)
    hessian = problem.normal_equations(at, scale, FORGIVING).hessian
    distance = float(pose[:3, 3].norm())
    if distance < _NO_WAY:
        return of_information(hessian)[0]
    along = torch.cat([pose[:3, 3] / distance, pose.new_zeros(3)])
    # part of what the depths say of the length they said before
    learnt, known = (along @ c @ along for c in (fit.covariance, of_information(hessian)[0]))
    more = (1.0 / learnt - 1.0 / known).clamp_min(0.0)
    return of_information(hessian + more * torch.outer(along, along))[0]
