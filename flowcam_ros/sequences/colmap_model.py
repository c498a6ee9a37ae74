# SPDX-License-Identifier: Apache-2.0
"""Read the binary files of a COLMAP model: cameras, poses of pictures, coloured points.

COLMAP counts pixels from the corner of the picture, so that the first centre is at (0.5, 0.5);
here it is at (0, 0).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.errors import CameraError, SequenceError, UsageError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.se3 import Matrix4, from_quaternion

_CORNER = 0.5
_LONGEST_NAME = 4096
Parameters = tuple[float, ...]
_T = TypeVar('_T')


@dataclass(frozen=True)
class ColmapImage:
    """Pose of one picture.

    Attributes:
        name: of the file, below the folder of pictures.
        camera: number of its camera.
        camera_from_world: 4x4, optical axes.
    """

    name: str
    camera: int
    camera_from_world: Matrix4


@dataclass(frozen=True)
class ColmapPoints:
    """Positions in the world (P, 3) and colours (P, 3) red green blue."""

    positions: Float[np.ndarray, 'p 3']
    colors: UInt8[np.ndarray, 'p 3']


def read_cameras(path: Path) -> dict[int, CameraModel]:
    """Read ``cameras.bin``: the cameras by their numbers.

    Raises:
        UsageError: the file cannot be read.
        SequenceError: it is damaged.
        CameraError: it has a lens model that is not supported.
    """
    return _read(path, _cameras)


def read_images(path: Path) -> list[ColmapImage]:
    """Read ``images.bin`` without its observations, sorted by name; raises as read_cameras."""
    return sorted(_read(path, _images), key=lambda image: image.name)


def read_points(path: Path) -> ColmapPoints:
    """Read ``points3D.bin`` without its tracks; raises as read_cameras."""
    return _read(path, _points)


class _Bytes:
    """Takes values from the front of a file's content."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, form: str) -> tuple[float, ...]:
        values = struct.unpack_from('<' + form, self._content, self._at)
        self._at += struct.calcsize('<' + form)
        return values

    def whole(self, form: str) -> int:
        return int(self.take(form)[0])

    def name(self) -> str:
        end = self._content.index(b'\0', self._at, self._at + _LONGEST_NAME)
        name = self._content[self._at : end].decode()
        self._at = end + 1
        return name

    def skip(self, count: int, size: int) -> None:
        if count * size > len(self._content) - self._at:
            raise ValueError('it ends too early')
        self._at += count * size


def _read(path: Path, parse: Callable[[_Bytes], _T]) -> _T:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f'{path}: cannot be read ({error.strerror})') from error
    try:
        return parse(_Bytes(content))
    except CameraError as error:
        raise CameraError(f'{path}: {error}') from error
    except (struct.error, ValueError) as error:
        raise SequenceError(f'{path}: not a whole COLMAP file ({error})') from error


def _cameras(source: _Bytes) -> dict[int, CameraModel]:
    cameras: dict[int, CameraModel] = {}
    for _ in range(source.whole('Q')):
        number, model = map(int, source.take('Ii'))
        width, height = map(int, source.take('QQ'))
        if model not in _MODELS:
            known = ', '.join(name for name, _, _ in _MODELS.values())
            raise CameraError(f'camera {number} has lens model number {model}; known: {known}')
        _, count, make = _MODELS[model]
        cameras[number] = make(width, height, source.take(f'{count}d'))
    return cameras


def _images(source: _Bytes) -> list[ColmapImage]:
    images: list[ColmapImage] = []
    for _ in range(source.whole('Q')):
        source.whole('I')
        w, x, y, z, *translation = source.take('7d')
        camera = source.whole('I')
        name = source.name()
        source.skip(source.whole('Q'), 24)
        pose = from_quaternion(np.array(translation), np.array([x, y, z, w]))
        images.append(ColmapImage(name, camera, pose))
    return images


def _points(source: _Bytes) -> ColmapPoints:
    positions, colors = [], []
    for _ in range(source.whole('Q')):
        _, *values = source.take('Q3d3Bd')
        positions.append(values[:3])
        colors.append(values[3:6])
        source.skip(source.whole('Q'), 8)
    return ColmapPoints(
        np.array(positions, np.float64).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)
    )


def _one_focal(width: int, height: int, values: Parameters) -> CameraModel:
    focal, cx, cy, *radial = values
    distortion = (*radial, 0.0, 0.0, 0.0, 0.0)[:4]
    return _lens(width, height, (focal, focal, cx, cy), distortion)


def _two_focals(width: int, height: int, values: Parameters) -> CameraModel:
    return _lens(width, height, values[:4], values[4:])


def _fisheye(width: int, height: int, values: Parameters) -> CameraModel:
    return _lens(width, height, values[:4], values[4:], 'equidistant')


def _rational(width: int, height: int, values: Parameters) -> CameraModel:
    return _lens(width, height, values[:4], values[4:], 'rational_polynomial')


def _lens(
    width: int,
    height: int,
    pinhole: Parameters,
    distortion: Parameters,
    model: str = 'plumb_bob',
) -> CameraModel:
    fx, fy, cx, cy = pinhole
    return CameraModel(width, height, fx, fy, cx - _CORNER, cy - _CORNER, model, tuple(distortion))


# Number in the file: name, how many parameters, and what makes a camera of them.
_MODELS = {
    0: ('SIMPLE_PINHOLE', 3, _one_focal),
    1: ('PINHOLE', 4, _two_focals),
    2: ('SIMPLE_RADIAL', 4, _one_focal),
    3: ('RADIAL', 5, _one_focal),
    4: ('OPENCV', 8, _two_focals),
    5: ('OPENCV_FISHEYE', 8, _fisheye),
    6: ('FULL_OPENCV', 12, _rational),
}
