# SPDX-License-Identifier: Apache-2.0
"""What a system is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from numpy import ndarray

from flowcam_ros.geometry.camera import CameraModel

# What is known of the camera. A refined one begins at the calibration.
INTRINSICS = {
    'unknown': 'Intrinsics unknown',
    'refine': 'Intrinsics refined',
    'known': 'Intrinsics known',
}


@dataclass(frozen=True)
class Job:
    """One system on one recording.

    Attributes:
        source: the recording, as ``open_sequence`` takes it.
        pictures: a folder with the same frames, made by ``store_pictures``.
        output: a folder that does not exist yet; the result goes there.
        intrinsics: one of ``INTRINSICS``.
        settings: options of this project, KEY=VALUE.
    """

    source: str
    pictures: Path
    output: Path
    intrinsics: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a system found.

    Attributes:
        stamps_ns: of the frames with a pose, increasing.
        poses: world_from_camera of each.
        registered: frames whose pose was found in the pictures; the others' are interpolated.
        optimised: frames that took part in the optimisation.
        camera: as found, lens distortion left out; None if nothing was found.
        versions: of the packages.
        stages: name and seconds of each part of the work, where the system tells.
    """

    stamps_ns: list[int]
    poses: list[Float[ndarray, '4 4']]
    registered: int
    optimised: int
    camera: CameraModel | None
    versions: dict[str, str]
    stages: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class System:
    """A system of the benchmark.

    Attributes:
        title: its name in the tables.
        module: below ``benchmarks.refine``; its ``run`` takes this system's name and a job. It is
            imported only in the process that runs it.
        calm: whether its threads wait asleep, as this project's programs set them.
    """

    title: str
    module: str
    calm: bool = False


Runner = Callable[[str, Job], Answer]

SYSTEMS = {
    'flowcam': System('flowcam refine', 'ours', calm=True),
    'incremental': System('pycolmap incremental', 'colmap'),
    'global': System('pycolmap global', 'colmap'),
}
