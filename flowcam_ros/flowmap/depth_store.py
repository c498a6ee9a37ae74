# SPDX-License-Identifier: Apache-2.0
"""Depth maps on disk, read one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowcam_ros.errors import OutputError
from flowcam_ros.flowmap.reconstruction import DepthMap
from flowcam_ros.geometry.camera import CameraModel


class DepthStore:
    """Depth maps by frame of the reconstruction; fulfils the DepthMaps protocol.

    Args:
        folder: exists; holds nothing else.
        camera: of all maps.
    """

    def __init__(self, folder: Path, camera: CameraModel) -> None:
        self._folder = folder
        self._camera = camera
        self._frames: list[int] = []

    def add(self, frame: int, depth: DepthMap) -> None:
        """Keep a depth map.

        Raises:
            OutputError: the disk is full or cannot be written.
        """
        try:
            np.save(self._path(frame, 'depth'), np.stack([depth.inverse_depth, depth.variance]))
            np.save(self._path(frame, 'color'), depth.colors)
        except OSError as error:
            # numpy says of a write that fell short only how much of it was written
            reason = error.strerror or 'the disk is full'
            raise OutputError(f'{self._folder}: cannot be written ({reason})') from error
        self._frames.append(frame)

    def frames(self) -> list[int]:
        """See DepthMaps."""
        return sorted(self._frames)

    def __getitem__(self, frame: int) -> DepthMap:
        """See DepthMaps."""
        if frame not in self._frames:
            raise KeyError(frame)
        inverse, variance = np.load(self._path(frame, 'depth'), allow_pickle=False)
        colors = np.load(self._path(frame, 'color'), allow_pickle=False)
        return DepthMap(self._camera, inverse, variance, colors)

    def _path(self, frame: int, kind: str) -> Path:
        return self._folder / f'{frame:06d}_{kind}.npy'
