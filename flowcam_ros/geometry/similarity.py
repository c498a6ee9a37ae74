# SPDX-License-Identifier: Apache-2.0
"""Similarities as 4x4 float64 matrices named ``target_from_source``: a turn, a scale, a shift.

The upper left 3x3 block is the rotation times the scale. Steps are (7,) arrays: translation,
rotation vector, logarithm of the scale. They are coordinates of the group near the identity, not
its exponential.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry.se3 import Matrix4

Step7 = Float[np.ndarray, ' 7']


def similarity(step: Step7) -> Matrix4:
    """Return the similarity of a step."""
    result = np.eye(4)
    result[:3, :3] = np.exp(step[6]) * Rotation.from_rotvec(step[3:6]).as_matrix()
    result[:3, 3] = step[:3]
    return result


def step_of(similarity_: Matrix4) -> Step7:
    """Return the step of a similarity; inverse of :func:`similarity`."""
    scale = scale_of(similarity_)
    turn = Rotation.from_matrix(similarity_[:3, :3] / scale).as_rotvec()
    return np.concatenate([similarity_[:3, 3], turn, [np.log(scale)]])


def scale_of(similarity_: Matrix4) -> float:
    """Return the factor on lengths."""
    return float(np.cbrt(np.linalg.det(similarity_[:3, :3])))


def inverse(similarity_: Matrix4) -> Matrix4:
    """Return ``source_from_target`` of a ``target_from_source``."""
    result = np.eye(4)
    result[:3, :3] = similarity_[:3, :3].T / scale_of(similarity_) ** 2
    result[:3, 3] = -result[:3, :3] @ similarity_[:3, 3]
    return result


def moved_points(
    similarity_: Matrix4, points: Float[np.ndarray, 'n 3']
) -> Float[np.ndarray, 'n 3']:
    """Return points of the source as points of the target."""
    return points @ similarity_[:3, :3].T + similarity_[:3, 3]


def moved_poses(
    similarity_: Matrix4, poses: Float[np.ndarray, 'n 4 4']
) -> Float[np.ndarray, 'n 4 4']:
    """Return poses (source_from_camera) as poses target_from_camera, which stay rigid."""
    moved = similarity_ @ poses
    moved[:, :3, :3] /= scale_of(similarity_)
    return moved


def fit_similarity(
    source: Float[np.ndarray, '*b n 3'],
    target: Float[np.ndarray, '*b n 3'],
    weight: Float[np.ndarray, '*b n'],
) -> Float[np.ndarray, '*b 4 4']:
    """Return the weighted least-squares similarity that takes ``source`` to ``target`` points.

    Umeyama (PAMI 1991), many fits at a time. Points that coincide leave the scale at 1, and those
    on a line the turn about it open.
    """
    total = np.maximum(weight.sum(-1), np.finfo(np.float64).tiny)
    share = (weight / total[..., None])[..., None]
    source_mean, target_mean = (share * source).sum(-2), (share * target).sum(-2)
    p, q = source - source_mean[..., None, :], target - target_mean[..., None, :]
    u, singular, vt = np.linalg.svd(np.swapaxes(share * q, -1, -2) @ p)
    sign = np.ones_like(singular)
    sign[..., 2] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    spread = (share * p * p).sum((-2, -1))
    gain = (singular * sign).sum(-1)
    usable = (spread > 0) & (gain > 0)
    scale = np.where(usable, gain / np.where(usable, spread, 1.0), 1.0)
    result = np.zeros((*scale.shape, 4, 4))
    result[..., :3, :3] = scale[..., None, None] * rotation
    turned = (result[..., :3, :3] @ source_mean[..., None])[..., 0]
    result[..., :3, 3] = target_mean - turned
    result[..., 3, 3] = 1.0
    return result
