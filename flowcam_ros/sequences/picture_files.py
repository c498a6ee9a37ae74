# SPDX-License-Identifier: Apache-2.0
"""A sequence whose pictures are files, whatever list they were named in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowcam_ros.errors import CameraError, FrameRejected, SequenceError
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.geometry.usual_camera import usual_camera
from flowcam_ros.sequences.calibration import Calibration
from flowcam_ros.sequences.camera_messages import fit_camera
from flowcam_ros.sequences.image_files import read_depth, read_image
from flowcam_ros.sequences.losses import LossLog
from flowcam_ros.sequences.mask import Mask
from flowcam_ros.sequences.tum_file import read_trajectory


@dataclass(frozen=True)
class PictureEntry:
    """One line of the list: stamp in integer nanoseconds, picture, and depth if there is one."""

    stamp_ns: int
    image: Path
    depth: Path | None = None


class PictureSequence:
    """Pictures from files, read one at a time; fulfils the Sequence protocol.

    Args:
        folder: where the sequence lives; its name is the sequence's.
        entries: what to read, stamps increasing.
        calibration: intrinsics; ``depth_units_per_m`` must be set if an entry has depth. None
            for the usual camera; no entry may have depth then.
        mask: pixels never to use.
        ground_truth: file of the true path in the TUM format; it need not exist.
    """

    def __init__(
        self,
        folder: Path,
        entries: list[PictureEntry],
        calibration: Calibration | None,
        mask: Mask,
        ground_truth: Path,
    ) -> None:
        self.name = folder.resolve().name
        self._folder = folder
        self._entries = entries
        self._calibration = calibration
        self._mask = mask
        self._ground_truth = ground_truth
        self._log = LossLog()
        self.losses = self._log.sentences

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order of time; unreadable files are counted in ``losses``.

        Raises:
            CameraError: the calibration does not fit the first picture.
            SequenceError: not a single picture can be read.
        """
        self._log.restart()
        empty = True
        for entry in self._entries:
            try:
                frame = self._picture(entry)
            except FrameRejected as error:
                self._log.count('pictures could not be read', str(error))
                continue
            except CameraError as error:
                if empty:
                    raise CameraError(f'{entry.image}: {error}') from error
                self._log.count('pictures do not fit the calibration', f'{entry.image}: {error}')
                continue
            empty = False
            yield self._with_depth(frame, entry)
        if empty:
            raise SequenceError(f'{self._folder}: no picture can be read; {self.losses[0]}')

    def expected_frames(self) -> int | None:
        """Return the number of listed pictures."""
        return len(self._entries)

    def ground_truth(self) -> Trajectory | None:
        """Return the true camera path; None if there is no file of it.

        Raises:
            SequenceError: the file is malformed.
        """
        return read_trajectory(self._ground_truth) if self._ground_truth.exists() else None

    def note_loss(self, sentence: str) -> None:
        """Add something known to be missing before reading begins."""
        self._log.note(sentence)

    def _picture(self, entry: PictureEntry) -> Frame:
        image = read_image(entry.image)
        height, width = image.shape[:2]
        camera = (
            usual_camera(width, height)
            if self._calibration is None
            else fit_camera(self._calibration.camera, width, height)
        )
        mask = self._mask.for_size(width, height)
        return Frame(entry.stamp_ns, image, camera, mask=mask, name=entry.image.name)

    def _with_depth(self, frame: Frame, entry: PictureEntry) -> Frame:
        calibration = self._calibration
        if entry.depth is None or calibration is None:
            return frame
        try:
            depth = read_depth(
                entry.depth, calibration.depth_units_per_m or 1.0, calibration.depth_invalid
            )
            height, width = depth.shape
            camera = fit_camera(calibration.depth_camera or calibration.camera, width, height)
        except (FrameRejected, CameraError) as error:
            self._log.count('depth images could not be used', str(error))
            return frame
        measured = DepthImage(depth, camera, calibration.color_from_depth)
        return dataclasses.replace(frame, depth=measured)


def listed_file(folder: Path, name: str) -> Path:
    """Return the path of a file named in a list inside ``folder``.

    Raises:
        ValueError: the name leads out of the folder, or is none.
    """
    path = Path(name)
    if '\0' in name:
        raise ValueError(f'{name!r} is no name of a file')
    if path.is_absolute() or '..' in path.parts:
        raise ValueError(f'{name!r} is not inside the folder')
    return folder / path
