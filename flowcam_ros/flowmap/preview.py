# SPDX-License-Identifier: Apache-2.0
"""What of a reconstruction can be shown while it is being made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.geometry.trajectory import Trajectory


@dataclass(frozen=True)
class Preview:
    """A reconstruction so far; its unit and its world may still change.

    Attributes:
        trajectory: stamps and world_from_camera of the frames that have a pose (optical axes).
        positions: (P, 3) points in the world.
        colors: (P, 3) red green blue.
    """

    trajectory: Trajectory
    positions: Float[np.ndarray, 'p 3']
    colors: UInt8[np.ndarray, 'p 3']
