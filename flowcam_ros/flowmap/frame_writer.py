# SPDX-License-Identifier: Apache-2.0
"""Writes what later steps need of the chosen frames into a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.registry import choose_source
from flowcam_ros.depth.source import DepthSource
from flowcam_ros.errors import FrameRejected, OutputError
from flowcam_ros.flowmap.frame_config import FrameStoreConfig
from flowcam_ros.flowmap.frame_record import FrameRecord
from flowcam_ros.flowmap.frame_store import (
    INDEX_FILE,
    FrameStore,
    StoreIndex,
    array_file,
    network_size,
    write_index,
)
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame

# Sensors have no more pixels than this, and stereo matching takes no longer than it must.
_DEPTH_PIXELS = 307_200
# Beside the rim of a mask or of the lens, windows of matching see across it.
_RIM_PX = 3
# What must stay free on the disk for the rest of the work.
_SPARE_BYTES = 100_000_000
_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class _Entry:
    record: FrameRecord
    mask: str
    measured: bool


@dataclass(frozen=True)
class _Cameras:
    original: CameraModel
    tracking: CameraModel
    network: CameraModel
    depth: CameraModel


class FrameWriter:
    """Keeps chosen frames on disk; fulfils the FrameKeeper protocol.

    Args:
        folder: an empty folder for the files; the caller removes it when all is done.
        config: sizes of what is kept.
        depth: where measured depth comes from.
        expected: at most how many frames will be kept, for the check of free space; None if
            unknown.
    """

    def __init__(
        self,
        folder: Path,
        config: FrameStoreConfig,
        depth: DepthConfig,
        expected: int | None = None,
    ) -> None:
        self._folder = folder
        self._config = config
        self._depth_config = depth
        self._expected = expected
        self._tracking = FramePreparer(config.max_pixels)
        self._reduced = FramePreparer(min(config.max_pixels, _DEPTH_PIXELS))
        self._source: DepthSource | None = None
        self._cameras: _Cameras | None = None
        self._entries: dict[int, _Entry] = {}
        self._shrunk: dict[str, str] = {}
        self._problems: dict[str, int] = {}

    @property
    def problems(self) -> dict[str, int]:
        """Why measured depth could not be used, and how often."""
        return dict(self._problems)

    def keep(self, record: FrameRecord, frame: Frame) -> None:
        """Write one chosen frame.

        Raises:
            OutputError: the disk is full or cannot be written; nothing half-written stays.
            FrameRejected: the picture cannot be prepared; the choice of frames has seen to that.
        """
        prepared = self._tracking.prepare(frame)
        if self._cameras is None:
            self._begin(frame, prepared)
        assert self._cameras is not None
        self._write(array_file(record.number, 'grey'), prepared.grey)
        network = self._cameras.network
        self._write(array_file(record.number, 'color'), _color(prepared.image, network))
        mask = self._keep_mask(prepared.usable)
        self._entries[record.number] = _Entry(record, mask, self._keep_depth(record, frame))

    def drop(self, number: int) -> None:
        """Remove the files of a frame that was kept before."""
        del self._entries[number]
        for kind in ('grey', 'color', 'depth'):
            (self._folder / array_file(number, kind)).unlink(missing_ok=True)

    def finish(self) -> FrameStore:
        """Complete the store and return it, open for reading.

        Raises:
            OutputError: it cannot be written, or no frame was kept.
        """
        if self._cameras is None:
            raise OutputError(f'{self._folder}: no frame of the recording could be used')
        entries = [self._entries[number] for number in sorted(self._entries)]
        index = StoreIndex(
            numbers=tuple(entry.record.number for entry in entries),
            stamps_ns=tuple(entry.record.stamp_ns for entry in entries),
            names=tuple(entry.record.name for entry in entries),
            masks=tuple(entry.mask for entry in entries),
            measured=tuple(entry.measured for entry in entries),
            depth_source=self._source.scale_source if self._source else '',
            original=self._cameras.original,
            tracking=self._cameras.tracking,
            network=self._cameras.network,
            depth=self._cameras.depth,
        )
        self._replace(INDEX_FILE, lambda path: write_index(path, index))
        return FrameStore(self._folder)

    def _begin(self, frame: Frame, prepared: PreparedFrame) -> None:
        tracking = prepared.camera
        size = network_size(tracking.width, tracking.height, self._config.pixels)
        depth = self._reduced.prepare(frame).camera
        self._cameras = _Cameras(frame.camera, tracking, tracking.resized(*size), depth)
        measures = frame.depth is not None or frame.right is not None
        self._check_space(self._cameras, measures and self._depth_config.source != 'none')

    def _check_space(self, cameras: _Cameras, measures: bool) -> None:
        each = cameras.tracking.width * cameras.tracking.height
        each += 3 * cameras.network.width * cameras.network.height
        if measures:
            each += 4 * cameras.depth.width * cameras.depth.height
        needed = each * (self._expected or 1) + _SPARE_BYTES
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise OutputError(f'{self._folder}: cannot be used ({error.strerror})') from error
        if free < needed:
            raise OutputError(
                f'{self._folder}: {free / 1e9:.2f} GB are free, but the frames of this recording '
                f'need up to {needed / 1e9:.2f} GB there; make room or choose fewer frames'
            )

    def _keep_mask(self, usable: Bool[np.ndarray, 'height width'] | None) -> str:
        """Write a mask unless it was written before: most recordings have one for all frames."""
        if usable is None or usable.all():
            return ''
        key = hashlib.sha256(usable.tobytes()).hexdigest()[:16]
        if key not in self._shrunk:
            size = 2 * _RIM_PX + 1
            inner = cv2.erode(usable.astype(np.uint8), np.ones((size, size), np.uint8))
            name = f'mask_{key}.npy'
            self._write(name, inner)
            self._shrunk[key] = name
        return self._shrunk[key]

    def _keep_depth(self, record: FrameRecord, frame: Frame) -> bool:
        """Write inverse depth and its standard deviation, which half precision can hold."""
        try:
            if self._source is None:
                # the first frames may have come without
                self._source = choose_source(self._depth_config, frame)
            if self._source is None:
                return False
            measured = self._source.measure(self._reduced.prepare(frame))
        except FrameRejected as error:
            self._problems[str(error)] = self._problems.get(str(error), 0) + 1
            return False
        if measured is None:
            return False
        known = (measured.inverse_depth > 0) & np.isfinite(measured.variance)
        inverse = np.where(known, measured.inverse_depth, np.float32(0.0))
        sigma = np.sqrt(np.where(known, measured.variance, np.float32(0.0)))
        stored = np.stack([inverse, sigma]).clip(0.0, _LARGEST_HALF).astype(np.float16)
        self._write(array_file(record.number, 'depth'), stored)
        return True

    def _write(self, name: str, array: np.ndarray) -> None:
        def save(path: Path) -> None:
            with path.open('wb') as file:
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)

        self._replace(name, save)

    def _replace(self, name: str, save: Callable[[Path], None]) -> None:
        """Write a file that appears whole or not at all."""
        temporary = self._folder / f'.{name}.part'
        try:
            save(temporary)
            os.replace(temporary, self._folder / name)
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError):
                # numpy says of a write that fell short only how much of it was written
                reason = error.strerror or 'the disk is full'
                raise OutputError(
                    f'{self._folder / name}: cannot be written ({reason}); it holds frames while '
                    'they are worked on'
                ) from error
            raise


def _color(
    image: UInt8[np.ndarray, 'height width *channels'], camera: CameraModel
) -> UInt8[np.ndarray, 'rows columns 3']:
    small = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    code = cv2.COLOR_GRAY2RGB if small.ndim == 2 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(small, code)
