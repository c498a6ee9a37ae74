# SPDX-License-Identifier: Apache-2.0
"""The synthetic world as a sequence of frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import ConfigError
from flowcam_ros.geometry.distortion import pixel_rays
from flowcam_ros.geometry.frame import DepthImage, Frame, StereoImage
from flowcam_ros.geometry.se3 import from_rotation_translation, inverse
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.synthetic.flaws import measured_depth
from flowcam_ros.sequences.synthetic.lens import Lens
from flowcam_ros.sequences.synthetic.options import SyntheticOptions
from flowcam_ros.sequences.synthetic.paths import camera_path
from flowcam_ros.sequences.synthetic.photographer import Photographer
from flowcam_ros.sequences.synthetic.raster import Raster, render
from flowcam_ros.sequences.synthetic.room import World
from flowcam_ros.sequences.synthetic.views import View

# The clock of the recordings; any fixed instant will do, as long as it looks like a real one.
_START_NS = 1_700_000_000_000_000_000


class SyntheticSequence:
    """A camera moving through a furnished room; the same options give the same bytes.

    Everything is rendered when it is asked for: memory does not grow with the length.

    Attributes:
        name: short name for titles and folders.
        losses: always empty.
        options: what was asked for.
        camera: intrinsics of all pictures.

    Raises:
        ConfigError: options that do not go together, or lists that cannot be read.
        CameraError: the distortion coefficients are not those of a lens that sees the image.
    """

    def __init__(self, options: SyntheticOptions | None = None) -> None:
        self.options = options = options or SyntheticOptions()
        self.name = f'synthetic_{options.trajectory}_{options.seed}'
        self.losses: list[str] = []
        self.camera = options.camera()
        dropped = options.dropped_frames()
        options.dark_frames(), options.blurred_frames()  # errors in the lists are told at once
        self._numbers = [k for k in range(options.frames) if k not in dropped]
        if not self._numbers:
            raise ConfigError('dropped: nothing is left of the sequence')
        if options.stereo and self.camera.is_distorted:
            raise ConfigError(
                'stereo: a rectified pair has no lens distortion; set distortion_model to none'
            )
        self._path = camera_path(options.trajectory)

    @cached_property
    def _world(self) -> World:
        objects = self.options.moving_objects
        if self.options.trajectory == 'moving_object':
            objects = max(objects, 1)
        return World(self.options.seed, objects, self.camera.fx, self.options.object_size)

    @cached_property
    def _lens(self) -> Lens:
        return Lens(self.camera)

    @cached_property
    def _rays(self) -> Float[np.ndarray, 'h w 2']:
        return pixel_rays(self.camera)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order of time."""
        for number in self._numbers:
            yield self._frame(number)

    def expected_frames(self) -> int:
        """Return how many frames there are."""
        return len(self._numbers)

    def ground_truth(self) -> Trajectory:
        """Return the true camera path, one pose per frame."""
        return Trajectory(
            np.array([self._stamp(number) for number in self._numbers], np.int64),
            np.stack([self._path(self._time(number)) for number in self._numbers]),
        )

    def view(self, position: int) -> View:
        """Return the truth about frame ``position`` (counted without the dropped ones)."""
        number = self._numbers[position]
        time = self._time(number)
        raster = self._render(time)
        return View(
            self._stamp(number),
            raster.image,
            raster.depth,
            raster.body,
            self.camera,
            self._rays,
            self._path(time),
            self._world.world_from_bodies(time),
        )

    def _time(self, number: int) -> float:
        return number / self.options.fps

    def _stamp(self, number: int) -> int:
        return _START_NS + round(number * 1e9 / self.options.fps)

    def _render(self, time: float, right_by: float = 0.0) -> Raster:
        shift = from_rotation_translation(np.eye(3), np.array([right_by, 0.0, 0.0]))
        camera_from_world = inverse(self._path(time) @ shift)
        return render(
            self._world.scene, self._lens, camera_from_world @ self._world.world_from_bodies(time)
        )

    def _frame(self, number: int) -> Frame:
        options = self.options
        raster = self._render(self._time(number))
        depth = None
        if options.depth:
            rng = np.random.default_rng([options.seed, 3, number])
            z = measured_depth(raster.depth, options.depth_noise, options.depth_holes, rng)
            depth = DepthImage(z, self.camera)
        right = None
        if options.stereo:
            image = self._photographer.take(number, options.baseline)
            right = StereoImage(image, self.camera, options.baseline)
        image = self._photographer.take(number, 0.0, raster.image)
        return Frame(self._stamp(number), image, self.camera, depth, right)

    @cached_property
    def _photographer(self) -> Photographer:
        return Photographer(
            self.options, lambda time, right_by: self._render(time, right_by).image
        )
