# SPDX-License-Identifier: Apache-2.0
"""What the camera does between frames: velocity, prediction, and how fast trust in it fades."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.se3 import Matrix4

_PERIODS = 3.0  # a pause longer than this many frame periods is a gap, whatever its length


class MotionModel:
    """Constant velocity from the last two believed frames.

    Args:
        max_gap: longest pause bridged by prediction, seconds.
        linear_sigma: standard deviation of an unknown velocity, m/s.
        angular_sigma: the same of a turn, rad/s.

    """

    def __init__(self, max_gap: float, linear_sigma: float, angular_sigma: float) -> None:
        self._max_gap = max_gap
        self._sigmas = np.array([linear_sigma] * 3 + [angular_sigma] * 3)
        self._stamp_ns: int | None = None
        self._pose: Matrix4 = np.eye(4)
        self._covariance: Matrix6 = np.zeros((6, 6))
        self._twist: Float[np.ndarray, ' 6'] = np.zeros(6)
        self._twist_covariance: Matrix6 = np.diag(self._sigmas**2)
        self._period: float | None = None

    def observe_stamp(self, previous_ns: int, stamp_ns: int) -> None:
        """Learn the frame period; follows slow cameras, ignores single pauses."""
        step = (stamp_ns - previous_ns) * 1e-9
        self._period = (
            step if self._period is None else self._period * (step / self._period) ** 0.2
        )

    def is_gap(self, previous_ns: int, stamp_ns: int) -> bool:
        """Whether the pause between two frames is too long to bridge by prediction."""
        step = (stamp_ns - previous_ns) * 1e-9
        return step > max(self._max_gap, _PERIODS * (self._period or step))

    def is_far_back(self, previous_ns: int, stamp_ns: int) -> bool:
        """Whether a stamp is so much older that time itself jumped, not one frame came late."""
        return (previous_ns - stamp_ns) * 1e-9 > max(0.1, _PERIODS * (self._period or 0.0))

    def accept(
        self,
        stamp_ns: int,
        pose: Matrix4,
        covariance: Matrix6,
        step_covariance: Matrix6,
    ) -> None:
        """Take a believed pose; ``step_covariance`` is that of the motion since the last one.

        All covariances are in the axes of the world.
        """
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            seconds = (stamp_ns - self._stamp_ns) * 1e-9
            rotation = pose[:3, :3]
            linear = rotation.T @ (pose[:3, 3] - self._pose[:3, 3]) / seconds
            turn = self._pose[:3, :3].T @ rotation
            angular = Rotation.from_matrix(turn).as_rotvec() / seconds
            self._twist = np.concatenate([linear, angular])
            turned = np.zeros((6, 6))
            turned[:3, :3] = turned[3:, 3:] = rotation.T
            self._twist_covariance = turned @ step_covariance @ turned.T / seconds**2
        self._stamp_ns, self._pose, self._covariance = stamp_ns, pose, covariance

    def halt(self) -> None:
        """Forget the velocity; predictions stay where the camera was last believed to be."""
        self._twist = np.zeros(6)
        self._twist_covariance = np.diag(self._sigmas**2)

    def predict(self, stamp_ns: int) -> Matrix4:
        """Return the pose expected at a stamp: constant velocity for at most ``max_gap``."""
        if self._stamp_ns is None:
            return self._pose
        limit = max(self._max_gap, _PERIODS * (self._period or 0.0))
        seconds = min((stamp_ns - self._stamp_ns) * 1e-9, limit)
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(self._twist[3:] * seconds).as_matrix()
        step[:3, 3] = step[:3, :3] @ self._twist[:3] * seconds
        return self._pose @ step

    def predicted_covariance(self, stamp_ns: int) -> Matrix6:
        """Return the covariance of a prediction; grows with the time since the last belief."""
        seconds = 0.0 if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9
        return self._covariance + np.diag((self._sigmas * seconds) ** 2)

    @property
    def twist(self) -> Float[np.ndarray, ' 6']:
        """Velocity of the camera in its own axes: linear, angular."""
        return self._twist

    @property
    def twist_covariance(self) -> Matrix6:
        """Covariance of :attr:`twist`."""
        return self._twist_covariance

    @property
    def last_pose(self) -> Matrix4:
        """The last believed pose."""
        return self._pose
