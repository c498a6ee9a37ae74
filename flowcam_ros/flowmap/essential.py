# SPDX-License-Identifier: Apache-2.0
"""Two pictures by a camera of known lens: the essential matrix, robustly (Nister 2004)."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

# Matches this far from their epipolar lines are wrong, in parts of the picture's longer side.
TOLERANCE = 0.0015
_CONFIDENCE = 0.999
_IDENTITY = np.eye(3)
_FIVE = 5  # matches that fix an essential matrix

Rays = Float[np.ndarray, 'n 2']
Matrix3 = Float[np.ndarray, '3 3']


def fit_essential(
    source: Rays, target: Rays, tolerance: float, iterations: int
) -> tuple[Matrix3, Bool[np.ndarray, ' n']] | None:
    """Return the essential matrix of matches and which of them it explains; None without one.

    Args:
        source: (n, 2) points of the plane z = 1 of one camera.
        target: (n, 2) of the other.
        tolerance: distance from the epipolar line, in that plane.
        iterations: largest number of samples.
    """
    if len(source) <= _FIVE:
        return None
    try:
        essential, mask = cv2.findEssentialMat(
            source.astype(np.float64),
            target.astype(np.float64),
            _IDENTITY,
            cv2.USAC_MAGSAC,
            _CONFIDENCE,
            tolerance,
            iterations,
        )
    except cv2.error:  # no model at all in some degenerate sets
        return None
    if essential is None or essential.shape[0] < 3:
        return None
    return essential[:3], mask.ravel() > 0


def sampson_squared(essential: Matrix3, source: Rays, target: Rays) -> Float[np.ndarray, ' n']:
    """Return the squared distance of matches from the epipolar geometry, in the plane z = 1."""
    one = np.ones((len(source), 1))
    a, b = np.hstack([source, one]), np.hstack([target, one])
    line, back = a @ essential.T, b @ essential
    steepness = line[:, 0] ** 2 + line[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2
    return (b * line).sum(1) ** 2 / np.maximum(steepness, 1e-30)


def decompose(
    essential: Matrix3, source: Rays, target: Rays
) -> tuple[Matrix3, Float[np.ndarray, ' 3'], Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return rotation, direction and depths of the solution with most points ahead of both.

    Returns:
        target_from_source rotation and unit translation, and z of each match in the source and in
        the target, in units of that translation.
    """
    one, two, shift = cv2.decomposeEssentialMat(essential)
    shift = shift.ravel() / np.linalg.norm(shift)
    best = None
    for rotation in (one, two):
        for translation in (shift, -shift):
            near, far = triangulated(rotation, translation, source, target)
            ahead = int(((near > 0) & (far > 0)).sum())
            if best is None or ahead > best[0]:
                best = (ahead, rotation, translation, near, far)
    assert best is not None
    return best[1:]


def triangulated(
    rotation: Matrix3, translation: Float[np.ndarray, ' 3'], source: Rays, target: Rays
) -> tuple[Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return z of each match in the source and the target, by the midpoint of the two rays."""
    one = np.ones((len(source), 1))
    a, b = np.hstack([source, one]) @ rotation.T, np.hstack([target, one])
    aa, ab, bb = (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)
    at, bt = a @ translation, b @ translation
    determinant = np.maximum(aa * bb - ab**2, 1e-15)
    return (ab * bt - bb * at) / determinant, (aa * bt - ab * at) / determinant


def angles(rotation: Matrix3, source: Rays, target: Rays) -> Float[np.ndarray, ' n']:
    """Return the angle between the two rays of each match, radians."""
    one = np.ones((len(source), 1))
    a, b = np.hstack([source, one]) @ rotation.T, np.hstack([target, one])
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1))
