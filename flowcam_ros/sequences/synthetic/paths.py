# SPDX-License-Identifier: Apache-2.0
"""Where the camera is at each time: smooth paths (twice continuously differentiable) by name.

The room's frame has x east, y north, z up; its origin is the centre of the floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from flowcam_ros.geometry.se3 import from_rotation_translation

Path = Callable[[float], Float[np.ndarray, '4 4']]

# Optical axes (x right, y down, z forward) of a camera that looks east with level horizon.
_EAST = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_EYE_HEIGHT = 1.45


def world_from_camera(
    position: Float[np.ndarray, '3'], heading: float, pitch: float = 0.0, roll: float = 0.0
) -> Float[np.ndarray, '4 4']:
    """Return a pose from a position (m) and angles in radians.

    ``heading`` counts from east over north, ``pitch`` is positive upwards, ``roll`` about the
    line of sight.
    """
    axes = Rotation.from_euler('ZYX', [heading, -pitch, roll]).as_matrix() @ _EAST
    return from_rotation_translation(axes, np.asarray(position, float))


def camera_path(name: str) -> Path:
    """Return the pose over time (seconds, any from 0 on) of the trajectory ``name``."""
    paths: dict[str, Path] = {
        'walk': Walk(),
        'translation': _translation,
        'rotation': _rotation,
        'standstill': _standstill,
        'fast_turn': _fast_turn,
        'stop_and_turn': _stop_and_turn,
        'textureless': _textureless,
        'moving_object': _watching,
        'orbit': _orbit,
    }
    return paths[name]


def object_path(number: int) -> Path:
    """Return the pose over time of a thing that crosses the room on the floor."""
    return partial(_crossing, number)


class Walk:
    """A round through the room, held in the hand: it sways, bobs, and looks about."""

    # x, y (m) and the heading of the look (degrees), every two seconds; a closed round.
    _STOPS = np.array(
        [
            [-2.55, -1.25, 28.0],
            [-1.75, -1.95, 42.0],
            [-0.55, -2.15, 62.0],
            [0.75, -1.95, 92.0],
            [1.85, -1.25, 128.0],
            [2.35, -0.05, 158.0],
            [2.05, 1.15, 182.0],
            [1.15, 1.95, 210.0],
            [-0.15, 2.1, 246.0],
            [-1.45, 1.85, 280.0],
            [-2.45, 1.05, 322.0],
            [-2.85, -0.15, 362.0],
        ]
    )
    _PACE = 2.0

    def __init__(self) -> None:
        times = np.arange(len(self._STOPS) + 1) * self._PACE
        round_trip = np.vstack([self._STOPS, self._STOPS[0] + [0.0, 0.0, 360.0]])
        self._period = float(times[-1])
        self._place = CubicSpline(times, round_trip[:, :2], bc_type='periodic')
        # The heading less its even turn is periodic.
        turn = 360.0 * times / self._period
        self._look = CubicSpline(times, round_trip[:, 2] - turn, bc_type='periodic')

    def __call__(self, time: float) -> Float[np.ndarray, '4 4']:
        """Return world_from_camera at ``time`` seconds."""
        x, y = self._place(time % self._period)
        heading = float(self._look(time % self._period)) + 360.0 * time / self._period
        heading += 0.5 * _wave(time, 0.93) + 0.25 * _wave(time, 2.1)
        bob = 0.018 * _wave(time, 1.75) + 0.02 * _wave(time, 0.21)
        sway = 0.014 * _wave(time, 0.875)
        side = math.radians(heading) + 0.5 * math.pi
        position = np.array(
            [x + sway * math.cos(side), y + sway * math.sin(side), _EYE_HEIGHT + bob]
        )
        pitch = -11.0 + 3.0 * _wave(time, 0.13) + 0.4 * _wave(time, 1.6)
        roll = 0.9 * _wave(time, 0.7) + 0.3 * _wave(time, 1.9)
        return world_from_camera(position, *np.radians([heading, pitch, roll]))


def _wave(time: float, frequency: float) -> float:
    return math.sin(2.0 * math.pi * frequency * time + 7.0 * frequency)


def _phase(time: float, period: float) -> float:
    return 2.0 * math.pi * time / period


def _translation(time: float) -> Float[np.ndarray, '4 4']:
    p = _phase(time, 8.0)
    offset = (0.9 * math.sin(p), 0.5 - 0.5 * math.cos(p), 0.12 * math.sin(2.0 * p))
    return world_from_camera(np.array([-0.6, -2.0, 1.4]) + offset, *np.radians([63.0, -10.0]))


def _rotation(time: float) -> Float[np.ndarray, '4 4']:
    p = _phase(time, 8.0)
    angles = (60.0 + 55.0 * math.sin(p), -9.0 + 7.0 * math.sin(2.0 * p), 4.0 * math.sin(p))
    return world_from_camera(np.array([-1.6, -1.9, _EYE_HEIGHT]), *np.radians(angles))


def _standstill(time: float) -> Float[np.ndarray, '4 4']:
    return world_from_camera(np.array([-2.4, -1.8, _EYE_HEIGHT]), *np.radians([38.0, -10.0]))


def _fast_turn(time: float) -> Float[np.ndarray, '4 4']:
    """Walk slowly; turn by 100 degrees within 1.2 s, and back again, every three seconds."""
    since = time % 6.0
    turned = _smooth_step((since - 1.0) / 1.2) - _smooth_step((since - 4.0) / 1.2)
    p = _phase(time, 9.0)
    position = np.array([-1.3 + 0.5 * math.sin(p), -1.6 - 0.4 * math.cos(p), _EYE_HEIGHT])
    return world_from_camera(position, *np.radians([20.0 + 100.0 * turned, -8.0]))


def _stop_and_turn(time: float) -> Float[np.ndarray, '4 4']:
    """Walk for 2 s, stop, turn by 50 degrees on the spot for 1.5 s, stop, walk on for 2 s."""
    first, second = _smooth_step(time / 2.0), _smooth_step((time - 4.0) / 2.0)
    turned = _smooth_step((time - 2.25) / 1.5)
    position = np.array([-2.0 + 1.3 * first, -2.0 + 1.0 * second, _EYE_HEIGHT])
    return world_from_camera(position, *np.radians([60.0 + 50.0 * turned, -10.0]))


def _textureless(time: float) -> Float[np.ndarray, '4 4']:
    """Slide along the southern wall, whose middle is blank, looking straight at it."""
    p = _phase(time, 12.0)
    position = np.array([-3.2 * math.cos(p), -2.15 + 0.06 * math.sin(3.0 * p), 1.5])
    return world_from_camera(position, math.radians(-90.0))


def _watching(time: float) -> Float[np.ndarray, '4 4']:
    return world_from_camera(np.array([-0.5, -2.9, 1.4]), *np.radians([78.0, -12.0]))


def _orbit(time: float) -> Float[np.ndarray, '4 4']:
    """Go round the low table in the middle once in 16 s, looking at what stands on it."""
    p = _phase(time, 16.0) - 0.75 * math.pi
    radius = 2.0 + 0.12 * math.sin(2.0 * p)
    height = 1.35 + 0.1 * math.sin(1.5 * _phase(time, 8.0))
    position = np.array([radius * math.cos(p), 0.2 + 0.9 * radius * math.sin(p), height])
    sight = np.array([0.0, 0.2, 0.55]) - position
    pitch = math.atan2(sight[2], math.hypot(sight[0], sight[1]))
    return world_from_camera(position, math.atan2(sight[1], sight[0]), pitch)


def _crossing(number: int, time: float) -> Float[np.ndarray, '4 4']:
    period, reach, depth = ((7.0, 2.0, -0.85), (9.0, 2.5, 1.9), (11.0, 2.2, -2.0))[number]
    p = _phase(time, period) + 1.1 * number
    position = np.array([reach * math.cos(p), depth + 0.15 * math.sin(2.0 * p), 0.0])
    turn = Rotation.from_euler('z', 25.0 * math.sin(p) + 40.0 * number, degrees=True)
    return from_rotation_translation(turn.as_matrix(), position)


def _smooth_step(share: float) -> float:
    """Rise from 0 to 1 with two continuous derivatives."""
    x = min(max(share, 0.0), 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))
