# SPDX-License-Identifier: Apache-2.0
"""Covariance of poses, in the order x, y, z, rotation about x, y, z.

Errors are additive: the true position is p + dp, the true rotation exp(dw) R, both in the axes of
the target frame of ``target_from_source`` (ROS calls them fixed axes).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry.se3 import Matrix4, skew

Matrix6 = Float[np.ndarray, '6 6']


def rotated(covariance: Matrix6, rotation: Float[np.ndarray, '3 3']) -> Matrix6:
    """Return the covariance expressed in axes turned by ``rotation`` (new_from_old)."""
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = rotation
    return symmetric(turn @ covariance @ turn.T)


def of_product(
    first: Matrix4,
    first_covariance: Matrix6,
    second: Matrix4,
    second_covariance: Matrix6,
) -> Matrix6:
    """Return the covariance of ``first @ second`` for independent errors of the two."""
    lever = np.eye(6)
    lever[:3, 3:] = -skew(first[:3, :3] @ second[:3, 3])
    return symmetric(
        lever @ first_covariance @ lever.T + rotated(second_covariance, first[:3, :3])
    )


def of_solver_inverse(target_from_source: Matrix4, solver_covariance: Matrix6) -> Matrix6:
    """Return the covariance of ``source_from_target`` from that of the forward pose.

    The solver's error is a small motion on the left: its rotation also turns the translation.
    """
    return rotated(solver_covariance, target_from_source[:3, :3].T)


def of_information(hessian: Float[Tensor, '6 6']) -> tuple[Float[Tensor, '6 6'], float]:
    """Return the inverse of a normal matrix, and its condition number scaled to unit diagonal.

    Directions that the matrix leaves open get a variance that is huge but finite.
    """
    diagonal = hessian.diagonal().clamp_min(1e-30).sqrt()
    outer = torch.outer(diagonal, diagonal)
    values, vectors = torch.linalg.eigh(0.5 * (hessian + hessian.T) / outer)
    safe = values.clamp_min(1e-12 * float(values[-1]))
    return (vectors / safe) @ vectors.T / outer, float(safe[-1] / safe[0])


def symmetric(covariance: Matrix6) -> Matrix6:
    """Return the symmetric part, which rounding had left."""
    return 0.5 * (covariance + covariance.T)
