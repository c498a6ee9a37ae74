# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as 4x4 float64 matrices named ``target_from_source``.

Twists are (6,) arrays: translation first, rotation vector second, as ROS orders them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

Matrix4 = Float[np.ndarray, '4 4']
Vector3 = Float[np.ndarray, ' 3']


def from_rotation_translation(rotation: Float[np.ndarray, '3 3'], translation: Vector3) -> Matrix4:
    """Assemble a transform from its rotation matrix and translation (metres)."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation
    return transform


def from_quaternion(translation: Vector3, quaternion_xyzw: Float[np.ndarray, ' 4']) -> Matrix4:
    """Assemble a transform from a translation and a quaternion (x, y, z, w), any length but 0."""
    return from_rotation_translation(Rotation.from_quat(quaternion_xyzw).as_matrix(), translation)


def quaternion(transform: Matrix4) -> Float[np.ndarray, ' 4']:
    """Return the rotation as a unit quaternion (x, y, z, w) with w >= 0."""
    return Rotation.from_matrix(transform[:3, :3]).as_quat(canonical=True)


def inverse(transform: Matrix4) -> Matrix4:
    """Return ``source_from_target`` of a ``target_from_source``."""
    rotation = transform[:3, :3].T
    return from_rotation_translation(rotation, -rotation @ transform[:3, 3])


def rotation_angle(transform: Matrix4) -> float:
    """Return the rotation's angle in radians, in [0, pi]."""
    return float(Rotation.from_matrix(transform[:3, :3]).magnitude())


def orthonormalized(transform: Matrix4) -> Matrix4:
    """Return the nearest exact rigid transform; call after long chains of products."""
    u, _, vt = np.linalg.svd(transform[:3, :3])
    u[:, -1] *= np.linalg.det(u @ vt)
    return from_rotation_translation(u @ vt, transform[:3, 3])


def skew(vector: Vector3) -> Float[np.ndarray, '3 3']:
    """Return the matrix whose product with b is the cross product of ``vector`` and b."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _left_jacobian(rotation_vector: Vector3) -> Float[np.ndarray, '3 3']:
    angle = float(np.linalg.norm(rotation_vector))
    k = skew(rotation_vector)
    if angle < 1e-6:
        return np.eye(3) + 0.5 * k + k @ k / 6.0
    a = (1.0 - np.cos(angle)) / angle**2
    b = (angle - np.sin(angle)) / angle**3
    return np.eye(3) + a * k + b * (k @ k)


def exp(twist: Float[np.ndarray, ' 6']) -> Matrix4:
    """Return the SE(3) exponential of a twist (translation part, rotation vector)."""
    rotation = Rotation.from_rotvec(twist[3:]).as_matrix()
    return from_rotation_translation(rotation, _left_jacobian(twist[3:]) @ twist[:3])


def log(transform: Matrix4) -> Float[np.ndarray, ' 6']:
    """Return the twist whose exponential is ``transform``; inverse of :func:`exp`."""
    rotation_vector = Rotation.from_matrix(transform[:3, :3]).as_rotvec()
    linear = np.linalg.solve(_left_jacobian(rotation_vector), transform[:3, 3])
    return np.concatenate([linear, rotation_vector])
