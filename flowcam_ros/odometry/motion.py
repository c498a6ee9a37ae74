# SPDX-License-Identifier: Apache-2.0
"""What the camera does between frames: velocity, prediction, and how fast trust in it fades."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry.covariance import Matrix6, rotated
from flowcam_ros.geometry.se3 import Matrix4

_COAST_NS = 150_000_000

Twist = Float[np.ndarray, '6']


class MotionModel:
    """Constant velocity from the last two believed frames.

    Args:
        linear_sigma: standard deviation of an unknown velocity, m/s.
        angular_sigma: the same of a turn, rad/s.
    """

    def __init__(self, linear_sigma: float, angular_sigma: float) -> None:
        self._sigmas = np.array([linear_sigma] * 3 + [angular_sigma] * 3)
        self._stamp_ns: int | None = None
        self._translated_ns: int | None = None
        self._pose: Matrix4 = np.eye(4)
        self._covariance: Matrix6 = np.zeros((6, 6))
        self.halt()

    def halt(self) -> None:
        """Forget the velocity; predictions stay where the camera was last believed to be."""
        self._twist: Twist = np.zeros(6)
        self._twist_covariance: Matrix6 = np.diag(self._sigmas**2)

    def accept(
        self,
        stamp_ns: int,
        pose: Matrix4,
        covariance: Matrix6,
        step_covariance: Matrix6,
        tells_translation: bool = True,
    ) -> None:
        """Take a believed pose.

        Args:
            stamp_ns: when.
            pose: world_from_camera.
            covariance: (6, 6) of the pose, world axes.
            step_covariance: (6, 6) of the motion since the last believed pose, world axes.
            tells_translation: False if the translation is an expectation.
        """
        if tells_translation:
            self._translated_ns = stamp_ns
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            seconds = (stamp_ns - self._stamp_ns) * 1e-9
            camera_from_world = pose[:3, :3].T
            linear = camera_from_world @ (pose[:3, 3] - self._pose[:3, 3])
            turn = Rotation.from_matrix(self._pose[:3, :3].T @ pose[:3, :3]).as_rotvec()
            self._twist = np.concatenate([linear, turn]) / seconds
            self._twist_covariance = rotated(step_covariance, camera_from_world) / seconds**2
        self._stamp_ns, self._pose, self._covariance = stamp_ns, pose, covariance

    def predict(self, stamp_ns: int, longest: float) -> Matrix4:
        """Return the pose expected at a stamp: constant velocity for at most ``longest`` s."""
        seconds = min(self._seconds_since(stamp_ns), longest)
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(self._twist[3:] * seconds).as_matrix()
        step[:3, 3] = step[:3, :3] @ self._twist[:3] * seconds
        return self._pose @ step

    def coast(self, stamp_ns: int) -> Matrix4:
        """Return the pose to assume where the pictures do not tell the translation.

        Goes on for a moment, so that a new key frame does not stop the camera, then stays.
        """
        since = None if self._translated_ns is None else stamp_ns - self._translated_ns
        coasts = since is not None and since <= _COAST_NS
        return self.predict(stamp_ns, _COAST_NS * 1e-9) if coasts else self._pose

    def predicted_covariance(self, stamp_ns: int) -> Matrix6:
        """Return the covariance of a prediction; grows with the time since the last belief."""
        return self._covariance + np.diag((self._sigmas * self._seconds_since(stamp_ns)) ** 2)

    def restart_at(self, stamp_ns: int) -> None:
        """Put the last pose at another time, when the clock itself jumped."""
        self._stamp_ns = stamp_ns
        self.halt()

    def _seconds_since(self, stamp_ns: int) -> float:
        return 0.0 if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9

    @property
    def twist(self) -> Twist:
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
