# SPDX-License-Identifier: Apache-2.0
"""The similarity that brings one trajectory closest to another (Umeyama, PAMI 1991)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.metrics import COINCIDENT
from flowcam_ros.geometry.trajectory import Trajectory

Points = Float[np.ndarray, 'n 3']


@dataclass(frozen=True)
class Similarity:
    """``target = scale * rotation @ source + translation``; the rotation is proper.

    Attributes:
        rotation: (3, 3), determinant +1.
        translation: (3,) metres of the target.
        scale: positive, 1 for a rigid alignment.
    """

    rotation: Float[np.ndarray, '3 3']
    translation: Float[np.ndarray, '3']
    scale: float = 1.0

    @classmethod
    def identity(cls) -> Similarity:
        """Return the similarity that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    def apply(self, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory with its poses expressed in the target's world."""
        poses = trajectory.world_from_camera.copy()
        poses[:, :3, 3] = self.scale * poses[:, :3, 3] @ self.rotation.T + self.translation
        poses[:, :3, :3] = self.rotation @ poses[:, :3, :3]
        return Trajectory(trajectory.stamps_ns, poses)


def fit_similarity(source: Points, target: Points, with_scale: bool) -> Similarity:
    """Return the least-squares similarity from ``source`` to ``target`` points, (N, 3) each.

    Points on one line leave the rotation about it open; the fit is still the best one.

    Raises:
        EvaluationError: fewer than three points, or all of them in one place.
    """
    count = len(source)
    if count < 3:
        raise EvaluationError(f'{count} matched poses are too few to align, at least 3 are needed')
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_centred, target_centred = source - source_mean, target - target_mean
    for name, points, centred in (
        ('trajectory', source, source_centred),
        ('ground truth', target, target_centred),
    ):
        if np.abs(centred).max() <= COINCIDENT * max(1.0, float(np.abs(points).max())):
            raise EvaluationError(
                f'all {count} matched poses of the {name} are in one place, so nothing can be '
                'aligned; compare without alignment (--align none)'
            )
    u, singular, vt = np.linalg.svd(target_centred.T @ source_centred)
    signs = np.array([1.0, 1.0, math.copysign(1.0, np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = (
        float((singular * signs).sum() / np.square(source_centred).sum()) if with_scale else 1.0
    )
    if scale <= 0.0:
        raise EvaluationError(
            'trajectory and ground truth are uncorrelated, so no scale can be found; '
            'align without scale (--align se3)'
        )
    return Similarity(rotation, target_mean - scale * rotation @ source_mean, scale)
