# SPDX-License-Identifier: Apache-2.0
"""From which sides a camera path is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.geometry.trajectory import Trajectory

_NAMES = 'xyz'


@dataclass(frozen=True)
class View:
    """A projection onto two axes of the world.

    Attributes:
        title: what the view is called.
        axes: index of the world axis to the right and of the one up.
        signs: +1 or -1 for each, so that the picture is not upside down.
    """

    title: str
    axes: tuple[int, int]
    signs: tuple[int, int]

    def project(self, positions: Float[np.ndarray, 'n 3']) -> Float[np.ndarray, 'n 2']:
        """Return where the positions lie in the view, metres."""
        return positions[:, self.axes] * self.signs

    def labels(self, unit: str = 'm') -> tuple[str, str]:
        """Return the names of both axes with unit."""
        first, second = (
            f'{"-" if sign < 0 else ""}{_NAMES[axis]} [{unit}]'
            for axis, sign in zip(self.axes, self.signs, strict=True)
        )
        return first, second


def choose_views(trajectory: Trajectory) -> tuple[View, View]:
    """Return the view from above and from the side, whichever way the world's axes point.

    Down is the world axis to which the camera's down axis is nearest on average; the side view
    shows the longer of the two level axes.
    """
    down = trajectory.world_from_camera[:, :3, 1].mean(axis=0)
    vertical = int(np.argmax(np.abs(down)))
    up = -1 if down[vertical] > 0 else 1
    right, ahead = (axis for axis in range(3) if axis != vertical)
    # Seen from above, right-handed axes keep their sense only if right x ahead points up.
    handed = np.linalg.det(np.eye(3)[[right, ahead, vertical]]) * up
    top = View('from above', (right, ahead), (1, 1 if handed > 0 else -1))
    extent = np.ptp(trajectory.positions, axis=0)
    longer = right if extent[right] >= extent[ahead] else ahead
    sign = 1 if longer == right else top.signs[1]
    return top, View('from the side', (longer, vertical), (sign, up))
