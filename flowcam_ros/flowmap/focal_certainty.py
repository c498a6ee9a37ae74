# SPDX-License-Identifier: Apache-2.0
"""How sure an adjusted focal length is.

The inverse of the normal equations takes errors for independent. Those of one picture are not:
its shutter rolls, it is blurred one way, the lens is not quite the model. So errors count as
independent between frames only (the sandwich estimate with clusters, Liang and Zeger 1986).
With fewer than ten frames that is still too sure, as poses take up most of what they share.
"""

from __future__ import annotations

import math

from flowcam_ros.flowmap.bundle import BundleFit
from flowcam_ros.flowmap.bundle_problem import BundleProblem, LensPrior
from flowcam_ros.flowmap.lens import FOCAL


def focal_log_sigma(problem: BundleProblem, fit: BundleFit, prior: LensPrior) -> float:
    """Return the standard deviation of the logarithm of the focal length; 0 if it is known."""
    if not bool(prior.free[FOCAL]):
        return 0.0
    o, at = problem.observations, fit.at
    if not len(o.point):
        return math.inf
    system = problem.system(at, fit.scale)
    covariance = system.covariance(0)
    frames = len(fit.state.poses)
    place = 6 * frames + int(prior.free[:FOCAL].sum())
    poses, lens = covariance[place, : 6 * frames].view(frames, 6), covariance[place, 6 * frames :]
    points = system.followed(poses, lens)
    # by how much the residuals of each frame move the focal length
    moves = covariance.new_zeros(frames)
    for block in problem.blocks(at, fit.scale):
        frame, point = o.frame[block.where], o.point[block.where]
        along = block.by_pose @ poses[frame].unsqueeze(-1) + block.by_lens @ lens.unsqueeze(-1)
        along = along + block.by_point @ points[point].unsqueeze(-1)
        moves.index_add_(0, frame, (along.squeeze(-1) * block.weight * block.residual).sum(-1))
    shared = float(moves.square().sum()) * frames / max(frames - 1, 1)
    variance = max(float(covariance[place, place]), shared)
    return math.sqrt(max(variance, 0.0)) / fit.state.lens.focal
