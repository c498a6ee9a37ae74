# SPDX-License-Identifier: Apache-2.0
"""The metric scale of a camera path, from a path of the same robot whose lengths are known.

The known path is that of the robot's body, the camera sits somewhere on it and looks somewhere.
Where the body turns, the camera swings along an arc of its own, so lengths alone cannot be
compared. Motions can: A of the body and B of the camera over the same time obey A X = X B with X
the camera's place on the body, constant. Short motions do not feel the drift of either path.

How sure it is takes that errors of the known path add up along the way, so that motions over the
same time err alike, and that its unit may be wrong by a share of the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from flowcam_ros.flowmap.scale import MetricScale, told_scale
from flowcam_ros.geometry.interpolation import interpolated
from flowcam_ros.geometry.trajectory import Trajectory

_SOURCE = 'odometry'
# Two stamps of a known path farther apart than this say nothing of the pose between them.
_MAX_GAP_NS = 500_000_000
# Wheels and vision drift and jump by millimetres: a shorter way tells no scale.
_MIN_WAY_M = 0.10
# Poses that are compared: more tell nothing new.
_MAX_POSES, _MIN_POSES = 300, 6
# Lengths of the compared motions, in parts of the number of poses.
_SPANS = (0.03, 0.1, 0.3)
# Where nothing is known of the camera's place on the body, robots are about so large, m. What is
# known of it holds against this much error of a motion, m.
BODY_M, _ERROR_M = 1.0, 0.01
# Odometry is off by this share of the way, however long that is: wheels slip and their size is not
# known better, and visual odometry drifts in scale. The path itself cannot tell.
_DRIFT = 0.02

Vectors = Float[np.ndarray, 'm 3']


@dataclass(frozen=True)
class _Motions:
    """Motions of body and camera over the same times.

    Attributes:
        first: (m,) where each begins, index of the pose.
        last: (m,) where it ends.
        body_turn: (m, 3, 3) rotation of the body.
        body_way: (m, 3) translation of the body, m.
        body_vector: (m, 3) rotation vector of the body.
        camera_way: (m, 3) translation of the camera, units of the reconstruction.
        camera_vector: (m, 3) rotation vector of the camera.
    """

    first: Int[np.ndarray, ' m']
    last: Int[np.ndarray, ' m']
    body_turn: Float[np.ndarray, 'm 3 3']
    body_way: Vectors
    body_vector: Vectors
    camera_way: Vectors
    camera_vector: Vectors


@dataclass(frozen=True)
class KnownPath:
    """A path whose lengths are metres.

    Attributes:
        path: of something the camera is fixed to, by the clock of its pictures.
        away_m: how far from the camera that may be, m.
    """

    path: Trajectory
    away_m: float = BODY_M


def scale_from_path(reconstructed: Trajectory, known: KnownPath) -> MetricScale:
    """Return the scale that makes the motions of the camera those of a known body.

    On a circle, a camera far out on the body moves like one on a wider circle: there the scale is
    as sure as the camera's place on the body is known.

    Args:
        reconstructed: of the camera, in units of the reconstruction.
        known: what it is fixed to.
    """
    poses, inside = interpolated(known.path, reconstructed.stamps_ns, _MAX_GAP_NS)
    index = np.flatnonzero(inside)
    if len(index) < _MIN_POSES:
        return _refused(f'only {len(index)} frames lie within the known path')
    even = np.linspace(0, len(index) - 1, min(len(index), _MAX_POSES)).round().astype(np.intp)
    index = index[even]
    body, camera = poses[index], reconstructed.world_from_camera[index]
    extent = float(np.linalg.norm(np.ptp(body[:, :3, 3], axis=0)))
    if extent < _MIN_WAY_M:
        return _refused(
            f'the known path stays within {extent:.3f} m, and it takes {_MIN_WAY_M:.2f} m'
        )
    if not np.ptp(camera[:, :3, 3], axis=0).any():
        return _refused('the reconstructed camera does not move')
    motions = _motions(body, camera)
    values, sigma = _fitted(motions, _start(motions), known.away_m)
    return told_scale(_SOURCE, float(values[0]), sigma)


def _refused(reason: str) -> MetricScale:
    return MetricScale(_SOURCE, None, reason=reason)


def _motions(body: Float[np.ndarray, 'n 4 4'], camera: Float[np.ndarray, 'n 4 4']) -> _Motions:
    count = len(body)
    spans = sorted({max(1, round(share * count)) for share in _SPANS})
    first = np.concatenate([np.arange(count - span) for span in spans])
    last = np.concatenate([np.arange(span, count) for span in spans])
    body_turn, body_way = _relative(body, first, last)
    camera_turn, camera_way = _relative(camera, first, last)
    return _Motions(
        first,
        last,
        body_turn,
        body_way,
        Rotation.from_matrix(body_turn).as_rotvec(),
        camera_way,
        Rotation.from_matrix(camera_turn).as_rotvec(),
    )


def _relative(
    poses: Float[np.ndarray, 'n 4 4'], first: Int[np.ndarray, ' m'], last: Int[np.ndarray, ' m']
) -> tuple[Float[np.ndarray, 'm 3 3'], Vectors]:
    back = poses[first, :3, :3].transpose(0, 2, 1)
    way = (back @ (poses[last, :3, 3] - poses[first, :3, 3])[..., None])[..., 0]
    return back @ poses[last, :3, :3], way


def _start(motions: _Motions) -> Float[np.ndarray, ' 7']:
    """Return log scale, rotation vector of the camera on the body, and its place (the origin)."""
    body, camera = motions.body_way, motions.camera_way
    lengths = np.linalg.norm(body, axis=1), np.linalg.norm(camera, axis=1)
    scale = np.median(lengths[0]) / max(float(np.median(lengths[1])), 1e-12)
    unit = max(float(np.median(lengths[0])), 1e-12)
    turn, _ = Rotation.align_vectors(
        np.concatenate([body / unit, motions.body_vector]),
        np.concatenate([camera * (scale / unit), motions.camera_vector]),
    )
    return np.concatenate([[math.log(max(scale, 1e-12))], turn.as_rotvec(), np.zeros(3)])


def _fitted(
    motions: _Motions, start: Float[np.ndarray, ' 7'], away_m: float
) -> tuple[Float[np.ndarray, ' 7'], float]:
    """Return scale and place of the camera that explain motions, and sigma of the log scale."""
    # errors of a path add up like steps of a random walk
    weight = 1.0 / np.sqrt(motions.last - motions.first)[:, None]
    turn, way, vector = motions.body_turn, motions.body_way, motions.body_vector
    unit = float(np.median(np.linalg.norm(way, axis=1))) + 1e-12

    def residuals(values: Float[np.ndarray, ' 7']) -> Float[np.ndarray, ' k']:
        on_body = Rotation.from_rotvec(values[1:4]).as_matrix().T
        place = values[4:]
        lengths = turn @ place - place + way - math.exp(values[0]) * motions.camera_way @ on_body
        angles = (vector - motions.camera_vector @ on_body) * unit
        prior = place * (_ERROR_M / away_m)
        return np.concatenate([(lengths * weight).ravel(), (angles * weight).ravel(), prior])

    fit = least_squares(residuals, start)
    for _ in range(2):
        # of translations: rotations are often known far better
        noise = 1.4826 * float(np.median(np.abs(fit.fun[: way.size]))) + 1e-9
        fit = least_squares(residuals, fit.x, loss='soft_l1', f_scale=2.0 * noise)
    jacobian = np.asarray(fit.jac)
    normal = jacobian.T @ jacobian
    # an error that does not average out counts so much more as the other unknowns can hide it
    hidden = math.sqrt(max(float(normal[0, 0] * np.linalg.pinv(normal)[0, 0]), 1.0))
    return fit.x, math.hypot(
        _formal(jacobian, motions.first, motions.last, noise), _DRIFT * hidden
    )


def _formal(
    jacobian: Float[np.ndarray, 'k 7'],
    first: Int[np.ndarray, ' m'],
    last: Int[np.ndarray, ' m'],
    noise: float,
) -> float:
    """Return sigma of the log scale where errors are steps that motions over them share.

    Args:
        jacobian: of the residuals: m translations, m rotations, and the prior.
        first: where each motion begins.
        last: where it ends.
        noise: standard deviation of a step.
    """
    count = len(first)
    shares = jacobian[: 6 * count].reshape(2, count, 3, 7) / np.sqrt(last - first)[:, None, None]
    steps = np.zeros((2, int(last.max()) + 1, 3, 7))
    for part, own in zip(steps, shares, strict=True):
        np.add.at(part, first, own)
        np.subtract.at(part, last, own)
    pull = np.cumsum(steps, axis=1).reshape(-1, 7)
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    return noise * math.sqrt(max(float((inverse @ pull.T @ pull @ inverse)[0, 0]), 0.0))
