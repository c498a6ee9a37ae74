# SPDX-License-Identifier: Apache-2.0
"""Options of the synthetic world."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from flowcam_ros.errors import ConfigError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.settings import option

TRAJECTORIES = (
    'walk',
    'translation',
    'rotation',
    'standstill',
    'fast_turn',
    'stop_and_turn',
    'textureless',
    'moving_object',
    'orbit',
)

# What `distortion_coefficients` stands for when it is left empty: an ordinary lens of each model.
TYPICAL_LENSES: dict[str, tuple[float, ...]] = {
    'none': (),
    'plumb_bob': (-0.28, 0.09, 0.0006, -0.0004, -0.01),
    'rational_polynomial': (0.3, -0.6, 0.0005, -0.0003, 0.2, 0.6, -0.7, 0.1),
    'equidistant': (-0.02, 0.012, -0.006, 0.001),
}


@dataclass(frozen=True)
class SyntheticOptions:
    """Everything the synthetic world can be told."""

    seed: int = option(0, 'Room, furniture, textures and noise follow from it.', ge=0)
    trajectory: str = option('walk', 'How the camera moves.', choices=TRAJECTORIES)
    frames: int = option(
        240, 'Pictures taken, those dropped later included.', unit='frames', ge=1, le=1000000
    )
    fps: float = option(30.0, 'Pictures in a second.', unit='Hz', ge=0.1, le=1000.0)
    width: int = option(640, 'Image width.', unit='pixels', ge=16, le=8192)
    height: int = option(480, 'Image height.', unit='pixels', ge=16, le=8192)
    field_of_view: float = option(
        66.0,
        'Angle from the left to the right edge of the image, before distortion.',
        unit='degrees',
        ge=10.0,
        le=130.0,
    )
    distortion_model: str = option('none', 'Lens distortion.', choices=tuple(TYPICAL_LENSES))
    distortion_coefficients: str = option(
        '',
        'Coefficients in the order of CameraInfo, with commas between; empty for an ordinary lens '
        'of the model.',
    )
    grey: bool = option(False, 'Grey pictures instead of colour.')
    noise: float = option(
        0.0, 'Standard deviation of the image noise.', unit='grey levels', ge=0.0, le=100.0
    )
    blur_samples: int = option(
        1,
        'Pictures averaged over the exposure, which is motion blur; 1 for none.',
        ge=1,
        le=64,
    )
    blur_frames: str = option(
        '', 'Pictures that are blurred: numbers and ranges as for dropped; empty for all.'
    )
    exposure: float = option(
        0.5, 'Share of the time between pictures that the shutter is open.', ge=0.0, le=1.0
    )
    rolling_samples: int = option(
        1,
        'Instants from which the rows of a picture, each taken at its own time, are mixed: a '
        'rolling shutter; 1 for none.',
        ge=1,
        le=64,
    )
    readout: float = option(
        0.8,
        'Share of the time between pictures from reading the first row to the last.',
        ge=0.0,
        le=1.0,
    )
    flicker: float = option(
        0.0,
        'Share of the light that comes and goes with the mains: dark bars that roll through the '
        'pictures, as rows are read one after the other.',
        ge=0.0,
        le=1.0,
    )
    flicker_frequency: float = option(
        100.0, 'How often the light comes and goes.', unit='Hz', ge=0.1, le=1000.0
    )
    exposure_jump: float = option(
        1.0, 'Factor on the brightness from exposure_jump_frame on.', ge=0.05, le=20.0
    )
    exposure_jump_frame: int = option(
        60, 'First picture of the other brightness.', unit='frame', ge=0
    )
    exposure_swing: float = option(
        0.0,
        'How far the exposure drifts up and down, in powers of two.',
        unit='stops',
        ge=0.0,
        le=5.0,
    )
    exposure_period: float = option(
        4.0, 'Time from one brightest picture of the swing to the next.', unit='s', ge=0.1
    )
    dark: str = option('', 'Pictures taken with the light off: numbers and ranges as for dropped.')
    dropped: str = option(
        '', 'Pictures left out: numbers and ranges with commas between, as 12,40-55.'
    )
    depth: bool = option(True, 'Whether frames carry measured depth.')
    depth_noise: float = option(
        0.0,
        'Standard deviation of measured depth at 1 m; it grows with the square of the depth.',
        unit='m',
        ge=0.0,
        le=0.5,
    )
    depth_holes: float = option(
        0.0, 'Share of pixels without measured depth, in patches.', ge=0.0, le=1.0
    )
    stereo: bool = option(False, 'Whether frames carry the right image of a rectified pair.')
    baseline: float = option(
        0.12, 'Distance of the two cameras of the pair.', unit='m', ge=0.001, le=2.0
    )
    moving_objects: int = option(
        0,
        'Things that cross the room; the trajectory moving_object has at least one.',
        ge=0,
        le=3,
    )
    object_size: float = option(
        1.0, 'Factor on the size of these things, whose height is 1 m.', ge=0.1, le=2.5
    )

    def camera(self) -> CameraModel:
        """Return the intrinsics.

        Raises:
            ConfigError: the distortion coefficients cannot be read.
            CameraError: there are too few or too many of them.
        """
        focal = 0.5 * self.width / math.tan(math.radians(0.5 * self.field_of_view))
        return CameraModel(
            self.width,
            self.height,
            focal,
            focal,
            0.5 * (self.width - 1),
            0.5 * (self.height - 1),
            self.distortion_model,
            self._coefficients(),
        )

    def _coefficients(self) -> tuple[float, ...]:
        if not self.distortion_coefficients:
            return TYPICAL_LENSES[self.distortion_model]
        try:
            return tuple(float(part) for part in self.distortion_coefficients.split(','))
        except ValueError as error:
            raise ConfigError(
                f'distortion_coefficients: {self.distortion_coefficients!r} is not a list of '
                'numbers with commas between'
            ) from error

    def dropped_frames(self) -> frozenset[int]:
        """Return the numbers of the pictures that are left out.

        Raises:
            ConfigError: the list cannot be read.
        """
        return self._numbers('dropped', self.dropped)

    def dark_frames(self) -> frozenset[int]:
        """Return the numbers of the pictures without light.

        Raises:
            ConfigError: the list cannot be read.
        """
        return self._numbers('dark', self.dark)

    def blurred_frames(self) -> Container[int]:
        """Return the numbers of the pictures with motion blur.

        Raises:
            ConfigError: the list cannot be read.
        """
        if self.blur_samples == 1 or self.exposure == 0:
            return frozenset()
        if not self.blur_frames:
            return range(self.frames)
        return self._numbers('blur_frames', self.blur_frames)

    def _numbers(self, name: str, text: str) -> frozenset[int]:
        numbers: set[int] = set()
        for part in filter(None, text.split(',')):
            first, dash, last = part.partition('-')
            try:
                end = min(int(last if dash else first), self.frames - 1)
                numbers.update(range(max(int(first), 0), end + 1))
            except ValueError as error:
                raise ConfigError(
                    f'{name}: {part!r} is neither a number nor a range such as 40-55'
                ) from error
        return frozenset(numbers)
