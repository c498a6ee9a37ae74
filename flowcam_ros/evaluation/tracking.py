# SPDX-License-Identifier: Apache-2.0
"""Whether an estimator that says it tracks does: what it said beside what is true."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from flowcam_ros.evaluation.consistency import (
    motions,
    normalised_squares,
    pose_errors,
    velocities,
)
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import of_product, symmetric
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState

# True paths shorter than this tell nothing about the scale, metres.
_SHORT = 0.1
_NO_VARIANCE = 1e-10
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Limits:
    """How wrong the motion over the last ``seconds`` may be while the state is TRACKING.

    Attributes:
        seconds: how far back.
        position: metres, beside ``share`` of the path.
        rotation: radians, beside ``share`` of the turn.
        share: of what was moved and turned meanwhile.
        sigmas: how wrong it may always be by its own covariance.
    """

    seconds: float = 1.0
    position: float = 0.03
    rotation: float = np.radians(1.0)
    share: float = 0.05
    sigmas: float = 5.0


@dataclass(frozen=True)
class Run:
    """Estimates of consecutive frames beside their true poses, in the world of the estimates.

    Attributes:
        stamps_ns: (n,) when.
        states: (n,) what was said.
        found: (n, 4, 4) world_from_camera as estimated; lengths in units of the truth.
        truth: (n, 4, 4) the same as it was; equal to ``found`` at the origin.
        covariances: (n, 6, 6) of ``found``.
        twists: (n, 6) velocities as estimated.
        twist_covariances: (n, 6, 6) of ``twists``.
    """

    stamps_ns: Int[np.ndarray, ' n']
    states: Int[np.ndarray, ' n']
    found: Float[np.ndarray, 'n 4 4']
    truth: Float[np.ndarray, 'n 4 4']
    covariances: Float[np.ndarray, 'n 6 6']
    twists: Float[np.ndarray, 'n 6']
    twist_covariances: Float[np.ndarray, 'n 6 6']

    @classmethod
    def of(cls, estimates: Sequence[PoseEstimate], truth: Float[np.ndarray, 'n 4 4']) -> Run:
        """Put the estimates of one epoch beside the true poses of the same frames.

        Before depth comes, all frames are at the origin: the last of them is the true one.
        """
        origin = estimates[0].world_from_camera
        moved = [np.abs(e.world_from_camera - origin).max() > _ROUNDING for e in estimates]
        at = moved.index(True) - 1 if any(moved) else 0
        first = origin @ se3.inverse(truth[at])
        return cls(
            np.array([e.stamp_ns for e in estimates], np.int64),
            np.array([e.state for e in estimates], np.int64),
            np.stack([e.world_from_camera for e in estimates]),
            first @ truth,
            np.stack([e.covariance for e in estimates]),
            np.stack([e.twist for e in estimates]),
            np.stack([e.twist_covariance for e in estimates]),
        )

    def scaled(self, scale: float) -> Run:
        """Return the run with all estimated lengths multiplied."""
        found, twists = self.found.copy(), self.twists.copy()
        found[:, :3, 3] *= scale
        twists[:, :3] *= scale
        unit = np.diag([scale] * 3 + [1.0] * 3)
        covariances, twist_covariances = (
            unit @ c @ unit for c in (self.covariances, self.twist_covariances)
        )
        return dataclasses.replace(
            self,
            found=found,
            twists=twists,
            covariances=covariances,
            twist_covariances=twist_covariances,
        )

    def best_scale(self, otherwise: float) -> float:
        """Return the most likely scale of the positions up to the first loss.

        It brings them closest to the truth in units of their covariances: where the scale is not
        kept, that has to show there. Where hardly anything moved until then, it is ``otherwise``.
        """
        lost = np.flatnonzero(~self.believed & np.logical_or.accumulate(self.believed))
        use = self.believed & (np.arange(len(self.found)) < min(lost, default=len(self.found)))
        found, truth = (poses[use, :3, 3] for poses in (self.found, self.truth))
        covariances = self.covariances[use, :3, :3]
        weighted = np.linalg.solve(covariances, truth[..., None])[..., 0]
        along = (found * weighted).sum()
        if along <= 0.0 or np.linalg.norm(truth, axis=1).max() < _SHORT:
            return otherwise
        return float((truth * weighted).sum() / along)

    @property
    def believed(self) -> Bool[np.ndarray, ' n']:
        """Whether each pose comes from the pictures."""
        return self.tracking | (self.states == TrackingState.DEGRADED)

    @property
    def tracking(self) -> Bool[np.ndarray, ' n']:
        """Whether each state is TRACKING."""
        return self.states == TrackingState.TRACKING

    @property
    def path(self) -> float:
        """Length of the true path, metres."""
        return float(_steps(self.truth).sum())

    def false_tracking(self, limits: Limits = Limits()) -> Bool[np.ndarray, ' n']:
        """Return which frames say TRACKING although their motion is wrong.

        The motion is the one over the last second, or since tracking resumed, and in the first
        frame after a loss the one since the last frame before. It is wrong if position or rotation
        is off by more than the limits and by more than the covariance it added admits that way.
        """
        path = np.concatenate([[0.0], np.cumsum(_steps(self.truth))])
        turn = np.concatenate([[0.0], np.cumsum(_turns(self.truth))])
        wrong = np.zeros(len(self.found), bool)
        begin, last = 0, -1
        for i in np.flatnonzero(self.believed).tolist():
            resumed = i > last + 1
            if resumed:
                begin = i
            while self.stamps_ns[i] - self.stamps_ns[begin] > limits.seconds * 1e9:
                begin += 1
            start = last if resumed and last >= 0 else begin
            error = _error_since(self, start, i)
            reach = limits.position + limits.share * float(path[i] - path[start])
            swing = limits.rotation + limits.share * float(turn[i] - turn[start])
            added = _added_covariance(self, start, i)
            wrong[i] = self.tracking[i] and (
                _is_off(error[:3], reach, added[:3, :3], limits.sigmas)
                or _is_off(error[3:], swing, added[3:, 3:], limits.sigmas)
            )
            last = i
        return wrong

    def frames_to_recover(self, position: int) -> int | None:
        """Return how many frames from ``position`` on are not TRACKING; None if all are."""
        again = np.flatnonzero(self.tracking[position:])
        return int(again[0]) if len(again) else None

    def largest_jump(self) -> float:
        """Return how much longer than in truth a step between believed poses is, metres."""
        use = self.believed[1:] & self.believed[:-1]
        excess = (_steps(self.found) - _steps(self.truth))[use]
        return float(excess.max(initial=0.0))

    def largest_correction(self) -> float:
        """Return the largest step from a predicted pose back to a believed one, in sigmas.

        Measured by the covariance of the prediction; 0 if tracking never came back.
        """
        back = self.believed[1:] & (self.states[:-1] == TrackingState.LOST)
        steps = pose_errors(self.found[:-1], self.found[1:])[back]
        covariances = self.covariances[:-1][back]
        return max(map(_sigmas, steps, covariances), default=0.0)

    def pose_squares(self) -> Float[np.ndarray, ' m']:
        """Return the normalised squared errors of the believed poses, without the first."""
        use = self.believed.copy()
        use[0] = False
        return normalised_squares(
            pose_errors(self.found[use], self.truth[use]), self.covariances[use]
        )

    def twist_squares(self) -> Float[np.ndarray, ' m']:
        """Return the normalised squared errors of the velocities between believed poses."""
        use = self.believed[1:] & self.believed[:-1]
        true = velocities(self.truth, self.stamps_ns)
        errors = (true - self.twists[1:])[use]
        return normalised_squares(errors, self.twist_covariances[1:][use])


def _steps(poses: Float[np.ndarray, 'n 4 4']) -> Float[np.ndarray, ' m']:
    return np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)


def _turns(poses: Float[np.ndarray, 'n 4 4']) -> Float[np.ndarray, ' m']:
    return np.array([se3.rotation_angle(motion) for motion in motions(poses, 1)])


def _error_since(run: Run, start: int, end: int) -> Float[np.ndarray, ' 6']:
    """Return the error of the pose at ``end`` if that at ``start`` were right, world axes."""
    aligned = run.found[start] @ se3.inverse(run.truth[start]) @ run.truth[end]
    return pose_errors(run.found[end][None], aligned[None])[0]


def _added_covariance(run: Run, start: int, end: int) -> Float[np.ndarray, '6 6']:
    """Return what the way from one pose to another added to the covariance, world axes.

    It is what is left when that of the start, carried along, is taken away; never negative.
    Position and rotation are taken apart.
    """
    carried = of_product(
        run.found[start],
        run.covariances[start],
        se3.inverse(run.found[start]) @ run.found[end],
        np.zeros((6, 6)),
    )
    added = symmetric(run.covariances[end] - carried)
    result = np.zeros((6, 6))
    for half in (slice(0, 3), slice(3, 6)):
        values, axes = np.linalg.eigh(added[half, half])
        result[half, half] = (axes * np.maximum(values, _NO_VARIANCE)) @ axes.T
    return result


def _is_off(
    error: Float[np.ndarray, ' 3'],
    limit: float,
    covariance: Float[np.ndarray, '3 3'],
    sigmas: float,
) -> bool:
    """Whether an error is larger than a limit and than its covariance admits in its direction."""
    length = float(np.linalg.norm(error))
    admitted = sigmas * float(error @ covariance @ error) ** 0.5
    return bool(length > limit and length**2 > admitted)


def _sigmas(error: Float[np.ndarray, ' 6'], covariance: Float[np.ndarray, '6 6']) -> float:
    return float(np.sqrt(6.0 * normalised_squares(error[None], covariance[None])[0]))
