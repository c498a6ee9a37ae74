# SPDX-License-Identifier: Apache-2.0
"""What the refinement of a recording results in: cameras, points and dense depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.trajectory import Trajectory


@dataclass(frozen=True)
class PointTracks:
    """Points of the world and where frames see them; P points, M observations.

    Attributes:
        positions: (P, 3) in the world, metres or units of the reconstruction.
        colors: (P, 3) uint8, red green blue.
        error_px: (P,) mean distance between observed and projected position, pixels of the
            recording's own pictures.
        point: (M,) which point was observed.
        frame: (M,) in which frame of the reconstruction.
        pixels: (M, 2) where, in pixels (x, y) of the recording's own, distorted picture.
    """

    positions: Float[np.ndarray, 'p 3']
    colors: UInt8[np.ndarray, 'p 3']
    error_px: Float[np.ndarray, ' p']
    point: Int64[np.ndarray, ' m']
    frame: Int64[np.ndarray, ' m']
    pixels: Float[np.ndarray, 'm 2']


@dataclass(frozen=True)
class DepthMap:
    """Dense depth of one frame.

    Attributes:
        camera: undistorted, of the size of the map.
        inverse_depth: (height, width) of z, 1 / unit of the world; 0 where unknown.
        variance: (height, width) of the inverse depth; infinite where unknown.
        colors: (height, width, 3) uint8, red green blue, the picture that goes with it.
    """

    camera: CameraModel
    inverse_depth: Float32[np.ndarray, 'height width']
    variance: Float32[np.ndarray, 'height width']
    colors: UInt8[np.ndarray, 'height width 3']


@runtime_checkable
class DepthMaps(Protocol):
    """Depth maps that are read or computed one at a time, as they need not fit in memory."""

    def frames(self) -> list[int]:
        """Return the frames of the reconstruction that have a depth map, increasing."""
        ...

    def __getitem__(self, frame: int) -> DepthMap:
        """Return the depth map of a frame; KeyError if it has none."""
        ...


@dataclass(frozen=True)
class Reconstruction:
    """Cameras, points and depth of a recording; N frames, all that could be read.

    Attributes:
        trajectory: stamp and world_from_camera of every frame (optical axes).
        names: (N) name of each picture, such as ``0001.jpg`` or ``frame_000012.png``; no two
            alike.
        chosen: (N,) True for the frames that took part in the optimisation; the others were
            placed afterwards against their neighbours.
        camera: intrinsics and distortion as found, of the recording's own picture size.
        points: the points that fix the poses.
        depth: of the chosen frames.
        scale_source: 'depth', 'stereo', 'odometry' (metres), or 'none' (unit is arbitrary).
    """

    trajectory: Trajectory
    names: tuple[str, ...]
    chosen: Bool[np.ndarray, ' n']
    camera: CameraModel
    points: PointTracks
    depth: DepthMaps
    scale_source: str
