# SPDX-License-Identifier: Apache-2.0
"""Depth from motion of the points themselves.

Their refined flow is several times more accurate than the dense flow, and they live on from key
frame to key frame, so they carry the scale.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from flowcam_ros.depth.motion import carried, fuse
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.triangulation import triangulate
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths


def learn_points(keyframe: Keyframe, alignment: Alignment) -> PointDepths:
    """Return the key frame's points after one more frame saw them."""
    matches = alignment.points
    pose = torch.from_numpy(alignment.target_from_source).to(matches.source)
    seen = triangulate(
        keyframe.frame.camera,
        matches.source,
        matches.target,
        matches.pixel_variance,
        matches.inverse_depth,
        pose,
        alignment.translation_sigma,
    )
    heard = torch.ones_like(matches.inverse_depth, dtype=torch.bool)
    inverse, variance = fuse(
        matches.inverse_depth,
        matches.inverse_depth_variance,
        seen,
        matches.pixel_variance,
        heard,
    )
    points = keyframe.points
    new_inverse, new_variance = points.inverse_depth.copy(), points.variance.copy()
    new_inverse[alignment.kept] = _single(inverse)
    new_variance[alignment.kept] = _single(variance)
    return dataclasses.replace(points, inverse_depth=new_inverse, variance=new_variance)


def carry_points(keyframe: Keyframe, alignment: Alignment) -> PointDepths:
    """Return the inliers as points of the frame that they were matched in."""
    matches = alignment.points
    explained = alignment.explained
    assert explained is not None  # the caller had a fit
    pose = torch.from_numpy(alignment.target_from_source).to(matches.source)
    learnt = keyframe.points.inverse_depth[alignment.kept]
    inverse = torch.from_numpy(learnt).to(matches.source)
    variance = torch.from_numpy(keyframe.points.variance[alignment.kept]).to(matches.source)
    moved = rays(keyframe.frame.camera, matches.source) @ pose[:3, :3].T
    z = (moved + inverse.unsqueeze(-1) * pose[:3, 3])[:, 2]
    new_inverse, new_variance = carried(inverse, variance, z)
    return PointDepths(
        _single(matches.target)[explained],
        _single(new_inverse)[explained],
        _single(new_variance)[explained],
    )


def _single(values: Tensor) -> np.ndarray:
    return values.cpu().numpy().astype(np.float32)
