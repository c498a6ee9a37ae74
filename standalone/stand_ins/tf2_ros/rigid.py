# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms in plain floats: a rotation (x, y, z, w) and a translation (x, y, z)."""

from __future__ import annotations

import math
from typing import NamedTuple

Quaternion = tuple[float, float, float, float]
Vector = tuple[float, float, float]


class Rigid(NamedTuple):
    """``point_in_parent = rotation * point_in_child + translation``."""

    rotation: Quaternion
    translation: Vector


IDENTITY = Rigid((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))


def compose(a_from_b: Rigid, b_from_c: Rigid) -> Rigid:
    """Return ``a_from_c``."""
    x, y, z = rotate(a_from_b.rotation, b_from_c.translation)
    u, v, w = a_from_b.translation
    return Rigid(multiply(a_from_b.rotation, b_from_c.rotation), (x + u, y + v, z + w))


def inverse(transform: Rigid) -> Rigid:
    """Return ``b_from_a`` of ``a_from_b``."""
    x, y, z, w = transform.rotation
    conjugate = (-x, -y, -z, w)
    u, v, t = rotate(conjugate, transform.translation)
    return Rigid(conjugate, (-u, -v, -t))


def interpolate(older: Rigid, newer: Rigid, ratio: float) -> Rigid:
    """Return the transform at `ratio` of the way: slerp of the rotation, a straight line."""
    x, y, z = (
        a + ratio * (b - a) for a, b in zip(older.translation, newer.translation, strict=True)
    )
    return Rigid(slerp(older.rotation, newer.rotation, ratio), (x, y, z))


def multiply(p: Quaternion, q: Quaternion) -> Quaternion:
    """Return the quaternion product ``p q``."""
    px, py, pz, pw = p
    qx, qy, qz, qw = q
    return (
        pw * qx + px * qw + py * qz - pz * qy,
        pw * qy - px * qz + py * qw + pz * qx,
        pw * qz + px * qy - py * qx + pz * qw,
        pw * qw - px * qx - py * qy - pz * qz,
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Return `v` turned by the unit quaternion `q`."""
    x, y, z, _ = multiply(multiply(q, (*v, 0.0)), (-q[0], -q[1], -q[2], q[3]))
    return x, y, z


def slerp(p: Quaternion, q: Quaternion, ratio: float) -> Quaternion:
    """Return the unit quaternion at `ratio` of the shortest way from `p` to `q`."""
    cosine = sum(a * b for a, b in zip(p, q, strict=True))
    sign = -1.0 if cosine < 0 else 1.0
    angle = math.acos(min(1.0, abs(cosine)))
    if angle < 1e-8:
        keep, take = 1.0 - ratio, sign * ratio
    else:
        keep = math.sin((1.0 - ratio) * angle) / math.sin(angle)
        take = sign * math.sin(ratio * angle) / math.sin(angle)
    return normalise(
        (
            keep * p[0] + take * q[0],
            keep * p[1] + take * q[1],
            keep * p[2] + take * q[2],
            keep * p[3] + take * q[3],
        )
    )


def normalise(q: Quaternion) -> Quaternion:
    """Return `q` with length one."""
    length = math.sqrt(sum(value * value for value in q))
    x, y, z, w = q
    return x / length, y / length, z / length, w / length
