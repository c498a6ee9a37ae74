# SPDX-License-Identifier: Apache-2.0
"""What later steps need of the chosen frames, read from disk one frame at a time."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8

from flowcam_ros.errors import OutputError
from flowcam_ros.geometry.camera import CameraModel

INDEX_FILE = 'frames.json'
# The strides of the depth network.
_MULTIPLE = 32


@dataclass(frozen=True)
class MeasuredDepth:
    """Depth that a sensor or a stereo pair measured.

    Attributes:
        camera: undistorted, of the size of the map.
        inverse_depth: (height, width) of z, 1/m; 0 where unknown.
        variance: (height, width) of the inverse depth; infinite where unknown.
    """

    camera: CameraModel
    inverse_depth: Float32[np.ndarray, 'height width']
    variance: Float32[np.ndarray, 'height width']


@dataclass(frozen=True)
class StoreIndex:
    """What the store says about all of its frames.

    Attributes:
        numbers: of the frames in the recording, increasing.
        stamps_ns: of the frames.
        names: of their pictures.
        masks: file of the mask of each frame; '' where all of the picture may be used.
        measured: whether each frame has measured depth.
        depth_source: 'depth', 'stereo', or '' where no frame has any.
        original: camera of the recording's own pictures.
        tracking: undistorted camera of the tracking pictures.
        network: undistorted camera of the colour pictures.
        depth: undistorted camera of measured depth.
    """

    numbers: tuple[int, ...]
    stamps_ns: tuple[int, ...]
    names: tuple[str, ...]
    masks: tuple[str, ...]
    measured: tuple[bool, ...]
    depth_source: str
    original: CameraModel
    tracking: CameraModel
    network: CameraModel
    depth: CameraModel

    def part(self, frames: range) -> StoreIndex:
        """Return what it says about some frames that follow each other."""
        chosen = slice(frames.start, frames.stop)
        return dataclasses.replace(
            self,
            numbers=self.numbers[chosen],
            stamps_ns=self.stamps_ns[chosen],
            names=self.names[chosen],
            masks=self.masks[chosen],
            measured=self.measured[chosen],
        )


class FrameStore:
    """The chosen frames in a folder written by FrameWriter; fulfils the Pictures protocol.

    Nothing is held in memory but the index: every array comes fresh from its file.

    Raises:
        OutputError: the folder holds no complete store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.index = _read_index(folder / INDEX_FILE)

    def __len__(self) -> int:
        return len(self.index.numbers)

    def part(self, frames: range) -> FrameStore:
        """Return the same folder with some of its frames, which follow each other."""
        part = copy.copy(self)
        part.index = self.index.part(frames)
        return part

    @property
    def stamps_ns(self) -> Int64[np.ndarray, ' n']:
        """Stamps of the frames, increasing."""
        return np.array(self.index.stamps_ns, np.int64)

    def grey(self, index: int) -> UInt8[np.ndarray, 'height width']:
        """Return the tracking picture, of the size of ``index.tracking``."""
        return self._load(array_file(self.index.numbers[index], 'grey'))

    def usable(self, index: int) -> Bool[np.ndarray, 'height width'] | None:
        """Return where the tracking picture shows the world; None means everywhere."""
        name = self.index.masks[index]
        return self._load(name) != 0 if name else None

    def color(self, index: int) -> UInt8[np.ndarray, 'height width 3']:
        """Return the picture at network size, red green blue."""
        return self._load(array_file(self.index.numbers[index], 'color'))

    def measured_depth(self, index: int) -> MeasuredDepth | None:
        """Return the measured depth of a frame; None if it has none."""
        if not self.index.measured[index]:
            return None
        stored = self._load(array_file(self.index.numbers[index], 'depth')).astype(np.float32)
        inverse, sigma = stored[0], stored[1]
        variance = np.where(inverse > 0, np.square(sigma), np.float32(np.inf))
        return MeasuredDepth(self.index.depth, inverse, variance)

    def _load(self, name: str) -> np.ndarray:
        path = self._folder / name
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = error.strerror if isinstance(error, OSError) else 'it is damaged'
            raise OutputError(
                f'{path}: cannot be read back ({reason}); delete {self._folder} to read the '
                'frames anew'
            ) from error


def masked_share(store: FrameStore) -> float:
    """Return which share of the pixels of all frames masks hide."""
    hidden = 0.0
    for index in range(len(store)):
        usable = store.usable(index)
        hidden += 0.0 if usable is None else 1.0 - float(usable.mean())
    return hidden / max(len(store), 1)


def array_file(number: int, kind: str) -> str:
    """Return the name of the file that holds one array of a frame."""
    return f'{number:06d}_{kind}.npy'


def network_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Return width and height, multiples of 32, near ``pixels`` in area and near in shape.

    The picture is squeezed a little to fit instead of cropped: FlowMap crops away up to 43 % of
    it, and everything that samples the pictures does so in normalised coordinates.
    """
    ideal = math.sqrt(pixels * width / height), math.sqrt(pixels * height / width)
    columns, rows = (_around(length) for length in ideal)

    def misfit(size: tuple[int, int]) -> float:
        area = math.log(size[0] * size[1] / pixels)
        return abs(area) + abs(math.log(size[0] * height / (size[1] * width)))

    return min(((w, h) for w in columns for h in rows), key=misfit)


def _around(length: float) -> list[int]:
    below = max(1, math.floor(length / _MULTIPLE))
    return [below * _MULTIPLE, (below + 1) * _MULTIPLE]


def write_index(path: Path, index: StoreIndex) -> None:
    """Write the index that completes a store.

    Raises:
        OSError: it cannot be written.
    """
    path.write_text(json.dumps(dataclasses.asdict(index), indent=1), encoding='utf-8')


def _read_index(path: Path) -> StoreIndex:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        for key in ('original', 'tracking', 'network', 'depth'):
            camera = dict(values[key])
            camera['distortion'] = tuple(camera['distortion'])
            values[key] = CameraModel(**camera)
        for key in ('numbers', 'stamps_ns', 'names', 'masks', 'measured'):
            values[key] = tuple(values[key])
        return StoreIndex(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f'{path.parent}: holds no complete frames of a recording') from error


def sampled(
    map_: Float[np.ndarray, 'height width'],
    camera: CameraModel,
    pixels: Float[np.ndarray, 'n 2'],
    pixels_camera: CameraModel,
) -> Float[np.ndarray, ' n']:
    """Return the values of a map at pixels of another size of the same picture, the nearest ones.

    Args:
        map_: of the size of ``camera``.
        camera: of the map.
        pixels: (n, 2) positions (x, y); those outside take the value at the rim.
        pixels_camera: of the picture that ``pixels`` are in.
    """
    scale = np.array([camera.width / pixels_camera.width, camera.height / pixels_camera.height])
    at = np.rint((pixels + 0.5) * scale - 0.5)
    at = np.clip(at, 0, (camera.width - 1, camera.height - 1)).astype(np.intp)
    return map_[at[:, 1], at[:, 0]]
