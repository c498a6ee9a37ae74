# SPDX-License-Identifier: Apache-2.0
"""The pictures of a recording as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2

from flowcam_ros.errors import OutputError
from flowcam_ros.export.atomic import make_folder, write_bytes
from flowcam_ros.export.names import check_names
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.geometry.frame import Frame

PICTURES = 'images'
_FORMS = {
    '.jpg': [cv2.IMWRITE_JPEG_QUALITY, 95],
    '.jpeg': [cv2.IMWRITE_JPEG_QUALITY, 95],
    '.png': [cv2.IMWRITE_PNG_COMPRESSION, 3],
}


def write_pictures(folder: Path, frames: Iterable[Frame], reconstruction: Reconstruction) -> None:
    """Write the picture of every frame of a reconstruction into ``images``, as it came.

    The suffix of a name says how: JPEG of quality 95, or PNG. One frame is in memory at a time.

    Args:
        folder: what ``images`` is made in.
        frames: of the recording, in any order; those that the reconstruction has not are passed
            over.
        reconstruction: stamps and names.

    Raises:
        OutputError: a name is no name of a picture file, a picture is missing or has another
            size than the camera, or a file exists or cannot be written.
    """
    check_names(reconstruction.names)
    _check_suffixes(reconstruction.names)
    stamps = reconstruction.trajectory.stamps_ns.tolist()
    missing = dict(zip(stamps, reconstruction.names, strict=True))
    camera = reconstruction.camera
    made: set[Path] = set()
    for frame in frames:
        name = missing.pop(frame.stamp_ns, None)
        if name is None:
            continue
        height, width = frame.image.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise OutputError(
                f'{name}: the picture has {width}x{height} pixels, the camera '
                f'{camera.width}x{camera.height}; give the same recording and options again'
            )
        path = folder / PICTURES / name
        if path.parent not in made:
            make_folder(path.parent)
            made.add(path.parent)
        write_bytes(path, _encoded(frame, path))
    if missing:
        raise OutputError(
            f'{len(missing)} of {len(stamps)} pictures cannot be read again, first '
            f'{next(iter(missing.values()))}; give the same recording and options again'
        )


def _check_suffixes(names: Iterable[str]) -> None:
    for name in names:
        if Path(name).suffix.lower() not in _FORMS:
            raise OutputError(f'{name}: pictures are written as {", ".join(_FORMS)}')


def _encoded(frame: Frame, path: Path) -> bytes:
    suffix = path.suffix.lower()
    done, data = cv2.imencode(suffix, frame.image, _FORMS[suffix])
    if not done:
        raise OutputError(f'{path}: OpenCV cannot encode a picture of shape {frame.image.shape}')
    return data.tobytes()
