# SPDX-License-Identifier: Apache-2.0
"""A recording whose calibration shall not be believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.geometry.usual_camera import usual_camera
from flowcam_ros.sequences.sequence import Sequence


class AssumedCamera:
    """The frames of a sequence with the usual camera for their size; fulfils Sequence.

    Measured depth and right pictures, which mean nothing without a calibration, are left out.

    Args:
        sequence: whose frames.
    """

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self.name = sequence.name
        self.losses = sequence.losses

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order of time."""
        for frame in self._sequence:
            camera = usual_camera(frame.camera.width, frame.camera.height)
            yield dataclasses.replace(frame, camera=camera, depth=None, right=None)

    def expected_frames(self) -> int | None:
        """See Sequence."""
        return self._sequence.expected_frames()

    def ground_truth(self) -> Trajectory | None:
        """See Sequence."""
        return self._sequence.ground_truth()
