# SPDX-License-Identifier: Apache-2.0
"""The points of earlier key frames as a frame that joins the window sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowcam_ros.odometry.keyframe import PointDepths
from flowcam_ros.odometry.window_matches import Sighting
from flowcam_ros.odometry.window_solver import WindowFit

_INLIER_CHI2 = 16.0
_NEAREST_Z = 0.05  # of a point in the new key frame, relative to its depth in the old one


def seen_points(
    fit: WindowFit, joining: Sequence[Sighting], first: int, translation_sigma: float
) -> PointDepths:
    """Return the points that the joining frame sees, in its own pixels and depths.

    An error of the way between two key frames changes all depths seen from both alike.

    Args:
        fit: of the window with the frame.
        joining: what the frame sees of each earlier key frame.
        first: number of the first of those in the fit.
        translation_sigma: of the way from the newest key frame to the frame.
    """
    parts = []
    for number, sighting in enumerate(joining, first):
        count = len(sighting.information)
        z = fit.at.seen.moved[number, 2, :count].cpu().numpy()
        depth = fit.at.seen.depth[number, :count].cpu().numpy()
        curvature = fit.system.curvature[sighting.host, :count].cpu().numpy()
        chi2 = fit.at.chi2_pixel[number, :count].cpu().numpy()
        good = (chi2 < _INLIER_CHI2 * fit.scale**2) & (sighting.information > 0)
        good &= z > _NEAREST_Z
        inverse, variance = depth[good] / z[good], 1.0 / (curvature[good] * z[good] ** 4)
        way = float(fit.at.seen.pose[number, :3, 3].norm())
        variance += (translation_sigma / max(way, 1e-9) * inverse) ** 2
        parts.append((sighting.pixel[good], inverse, variance))
    arrays = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PointDepths(*(array.astype(np.float32) for array in arrays))
