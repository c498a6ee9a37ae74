# SPDX-License-Identifier: Apache-2.0
"""Whether covariances are as large as the errors they speak of.

Errors follow ``geometry/covariance.py``: the true position is p + dp and the true rotation
exp(dw) R, both in the axes of the target frame of ``target_from_source``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import EvaluationError

Poses = Float[np.ndarray, 'n 4 4']
Errors = Float[np.ndarray, 'n d']
Covariances = Float[np.ndarray, 'n d d']


def normalised_squares(errors: Errors, covariances: Covariances) -> Float[np.ndarray, ' n']:
    """Return e^T C^-1 e / d of each error: 1 on average where the covariances are right.

    Raises:
        EvaluationError: an error or covariance is not finite, or a covariance is not positive
            definite.
    """
    if not (np.isfinite(errors).all() and np.isfinite(covariances).all()):
        raise EvaluationError('errors or covariances hold NaN or infinity')
    try:
        factors = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError as error:
        raise EvaluationError('a covariance is not positive definite') from error
    whitened = np.linalg.solve(factors, errors[..., None])[..., 0]
    return np.square(whitened).mean(axis=1)


def anees(errors: Errors, covariances: Covariances) -> float:
    """Return the average normalised estimation error squared, per degree of freedom.

    1 is right, more means that the covariances promise too much, less that they are too shy.

    Raises:
        EvaluationError: there are no errors, one is not finite, or a covariance is not positive
            definite.
    """
    if len(errors) == 0:
        raise EvaluationError('there are no errors to hold against their covariances')
    return float(normalised_squares(errors, covariances).mean())


def pose_errors(estimated: Poses, truth: Poses) -> Float[np.ndarray, 'n 6']:
    """Return how far the truth lies from paired poses: position (m), then rotation vector (rad).

    Both must be poses in the same world; the errors are in its axes.
    """
    positions = truth[:, :3, 3] - estimated[:, :3, 3]
    left_over = truth[:, :3, :3] @ np.swapaxes(estimated[:, :3, :3], 1, 2)
    return np.concatenate([positions, Rotation.from_matrix(left_over).as_rotvec()], axis=1)


def motions(poses: Poses, delta: int) -> Float[np.ndarray, 'm 4 4']:
    """Return (n - delta) motions over ``delta`` frames, each earlier_from_later."""
    return np.linalg.inv(poses[:-delta]) @ poses[delta:]


def motion_errors(estimated: Poses, truth: Poses, delta: int) -> Float[np.ndarray, 'm 6']:
    """Return the errors of the motions over ``delta`` frames, in the axes of the earlier camera.

    They do not depend on the worlds the poses are in.
    """
    return pose_errors(motions(estimated, delta), motions(truth, delta))


def velocities(poses: Poses, stamps_ns: Int[np.ndarray, ' n']) -> Float[np.ndarray, 'm 6']:
    """Return the mean velocity from each pose to the next, as ``PoseEstimate.twist`` has it.

    Linear (m/s), then angular (rad/s), in the axes of the later camera, (n - 1, 6).
    """
    step = motions(poses, 1)
    linear = np.einsum('nji,nj->ni', step[:, :3, :3], step[:, :3, 3])
    turn = Rotation.from_matrix(step[:, :3, :3]).as_rotvec()
    seconds = np.diff(stamps_ns) * 1e-9
    return np.concatenate([linear, turn], axis=1) / seconds[:, None]
