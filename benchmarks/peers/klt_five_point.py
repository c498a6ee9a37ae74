# SPDX-License-Identifier: Apache-2.0
"""The classic monocular tracker: corners, Lucas-Kanade, five-point RANSAC, triangulation.

Each frame is related to a key picture. The five-point motion has no length; it comes from points
whose depth in the key picture is known. Where none is, the length is guessed and they get theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from benchmarks.peers.pictures import Picture, PictureMaker
from benchmarks.peers.system import Answer, Chain, Matrix4
from benchmarks.peers.tracks import Points, corners, follow
from flowcam_ros.geometry.frame import Frame

_EPIPOLAR_PX = 1.0
_CONFIDENCE = 0.999
_FEWEST = 15
# Median motion of the points: below the first the camera stands; above the second, or with fewer
# points left than that share, the picture becomes the next key picture.
_STANDING_PX = 0.5
_KEY_PX = 20.0
_KEY_SHARE = 0.5
_FEWEST_KNOWN = 10
_FURTHEST_BASELINES = 1e4


@dataclass(frozen=True)
class Key:
    """A key picture.

    Attributes:
        picture: what was seen.
        world_from_key: (4, 4) where from.
        points: corners in it, those with known depth first.
        depths: their z, NaN where unknown.
        length: of the motion that led here, the guess where no depth is known.
    """

    picture: Picture
    world_from_key: Matrix4
    points: Points
    depths: Float[np.ndarray, ' n']
    length: float


@dataclass(frozen=True)
class Relation:
    """The motion between a key picture and another one.

    Attributes:
        key_from_other: (4, 4), translation of length 1.
        places: which points of the key picture it rests on.
        depths: their z in the key picture, in lengths of the translation.
        points: where they are in the other picture.
        depths_there: their z in the other picture.
    """

    key_from_other: Matrix4
    places: Int[np.ndarray, ' n']
    depths: Float[np.ndarray, ' n']
    points: Points
    depths_there: Float[np.ndarray, ' n']


class KltFivePoint:
    """OpenCV's KLT and essential matrix."""

    def __init__(self, mode: str, settings: list[str]) -> None:
        self._pictures = PictureMaker()
        self._chain = Chain()
        self._key: Key | None = None

    def process(self, frame: Frame) -> Answer:
        """Return the pose of the next frame."""
        picture = self._pictures.make(frame)
        key = self._key
        if key is None:
            answer = self._chain.first()
            self._key = make_key(picture, answer, 1.0)
            return answer
        after, good = follow(key.picture.grey, picture.grey, key.points)
        moved = _median_length((after - key.points)[good])
        if moved < _STANDING_PX:
            return self._chain.move_to(key.world_from_key)
        relation = relate(key, picture, after, good)
        if relation is None:
            answer = self._chain.advance(None)
            self._key = make_key(picture, answer, key.length)
            return answer
        length = length_of(key, relation)
        motion = relation.key_from_other.copy()
        motion[:3, 3] *= length
        answer = self._chain.move_to(key.world_from_key @ motion)
        if moved > _KEY_PX or good.mean() < _KEY_SHARE:
            self._key = make_key(picture, answer, length, relation)
        return answer

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        return {'opencv': cv2.__version__}


def make_key(
    picture: Picture, answer: Answer, length: float, relation: Relation | None = None
) -> Key:
    """Return a picture as key picture, with the depths that a motion of that length gave."""
    points = corners(picture.grey)
    depths = np.full(len(points), np.nan)
    if relation is not None:
        points = np.concatenate([relation.points, points])
        depths = np.concatenate([relation.depths_there * length, depths])
    return Key(picture, answer.world_from_camera, points, depths, length)


def relate(
    key: Key, picture: Picture, after: Points, good: Bool[np.ndarray, ' n']
) -> Relation | None:
    """Return the motion that the followed points tell; None where it cannot be told."""
    places = np.flatnonzero(good)
    if len(places) < _FEWEST:
        return None
    rays = cv2.undistortPoints(key.points[places][:, None], key.picture.matrix, None)
    rays_there = cv2.undistortPoints(after[places][:, None], picture.matrix, None)
    unit = np.eye(3)
    essential, inliers = cv2.findEssentialMat(
        rays,
        rays_there,
        unit,
        method=cv2.RANSAC,
        prob=_CONFIDENCE,
        threshold=_EPIPOLAR_PX / picture.matrix[0, 0],
    )
    if essential is None or essential.shape != (3, 3):
        return None
    count, rotation, shift, in_front, points = cv2.recoverPose(
        essential, rays, rays_there, unit, distanceThresh=_FURTHEST_BASELINES, mask=inliers
    )
    if count < _FEWEST:
        return None
    kept = in_front.ravel() > 0
    points = (points[:3] / points[3])[:, kept]
    other_from_key = np.eye(4)
    other_from_key[:3, :3] = rotation
    other_from_key[:3, 3] = shift.ravel()
    places = places[kept]
    there = rotation @ points + shift
    return Relation(np.linalg.inv(other_from_key), places, points[2], after[places], there[2])


def length_of(key: Key, relation: Relation) -> float:
    """Return the length of a motion, or a guess, on which the depths then rest."""
    ratio = key.depths[relation.places] / relation.depths
    known = np.isfinite(ratio)
    if np.count_nonzero(known) >= _FEWEST_KNOWN:
        return float(np.median(ratio[known]))
    key.depths[relation.places] = relation.depths * key.length
    return key.length


def _median_length(motions: Points) -> float:
    """Return the median length of motions in pixels; infinity of none."""
    return float(np.median(np.linalg.norm(motions, axis=1))) if len(motions) else float('inf')
