# SPDX-License-Identifier: Apache-2.0
"""A camera path: stamps and poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64


@dataclass(frozen=True)
class Trajectory:
    """Poses of one body over time.

    Attributes:
        stamps_ns: (N,) integer nanoseconds, strictly increasing.
        world_from_camera: (N, 4, 4) float64, camera-to-world, OpenCV optical axes, metres.
    """

    stamps_ns: Int64[np.ndarray, ' n']
    world_from_camera: Float[np.ndarray, 'n 4 4']

    def __post_init__(self) -> None:
        if self.stamps_ns.shape != self.world_from_camera.shape[:1]:
            raise ValueError('a trajectory needs one pose for each stamp')
        if np.any(np.diff(self.stamps_ns) <= 0):
            raise ValueError('the stamps of a trajectory must increase')

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def positions(self) -> Float[np.ndarray, 'n 3']:
        """Camera centres in the world, metres."""
        return self.world_from_camera[:, :3, 3]

    @property
    def path_length(self) -> float:
        """Sum of the distances between neighbouring camera centres, metres."""
        return float(np.linalg.norm(np.diff(self.positions, axis=0), axis=1).sum())
