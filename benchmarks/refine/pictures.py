# SPDX-License-Identifier: Apache-2.0
"""The frames of a recording as files, for systems that cannot read it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2

from flowcam_ros.errors import OutputError, SequenceError
from flowcam_ros.export.atomic import make_folder, write_bytes
from flowcam_ros.export.json_file import write_json
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame

_INDEX = 'frames.json'
# PNG loses nothing; more effort would only make the files smaller.
_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class StoredPictures:
    """Pictures of a recording in a folder, named so that they sort by time.

    Attributes:
        folder: holds ``images``.
        stamps_ns: of each picture.
        camera: calibration of the recording.
    """

    folder: Path
    stamps_ns: tuple[int, ...]
    camera: CameraModel

    @property
    def images(self) -> Path:
        """The folder of the files."""
        return self.folder / 'images'

    def stamp_ns(self, name: str) -> int:
        """Return the stamp of the picture in a file of ``images``."""
        return self.stamps_ns[int(Path(name).stem)]


def store_pictures(folder: Path, frames: Iterable[Frame]) -> StoredPictures:
    """Write every frame as it came, without loss; one frame is in memory at a time.

    Raises:
        SequenceError: there are none.
        OutputError: they cannot be written.
    """
    stamps: list[int] = []
    camera: CameraModel | None = None
    make_folder(folder / 'images')
    for index, frame in enumerate(frames):
        path = folder / 'images' / f'{index:06d}.png'
        done, data = cv2.imencode('.png', frame.image, _EFFORT)
        if not done:
            raise OutputError(f'{path}: cannot encode a picture of shape {frame.image.shape}')
        write_bytes(path, data.tobytes())
        stamps.append(frame.stamp_ns)
        camera = camera or frame.camera
    if camera is None:
        raise SequenceError('no frame in it')
    write_json(folder / _INDEX, {'stamps_ns': stamps, 'camera': dataclasses.asdict(camera)})
    return StoredPictures(folder, tuple(stamps), camera)


def read_stored(folder: Path) -> StoredPictures:
    """Return what :func:`store_pictures` left in a folder."""
    index = json.loads((folder / _INDEX).read_text(encoding='utf-8'))
    camera = index['camera']
    camera['distortion'] = tuple(camera['distortion'])
    return StoredPictures(folder, tuple(index['stamps_ns']), CameraModel(**camera))
