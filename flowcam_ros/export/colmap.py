# SPDX-License-Identifier: Apache-2.0
"""A reconstruction as a COLMAP model: cameras.bin, images.bin, points3D.bin.

There are no rigs.bin and frames.bin: COLMAP makes a trivial rig where they are missing, and older
readers (before COLMAP 3.12, and those that others have written) know only these three files.
COLMAP counts pixels from the corner of the picture: the first centre is at (0.5, 0.5).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from scipy.spatial.transform import Rotation

from flowcam_ros.errors import CameraError
from flowcam_ros.export.atomic import make_folder, new_file, write_bytes
from flowcam_ros.export.names import check_names
from flowcam_ros.flowmap.reconstruction import PointTracks, Reconstruction
from flowcam_ros.geometry.camera import CameraModel

# From the centre of the top-left pixel to the corner of the picture.
CORNER = 0.5
_CAMERA_ID = 1
# Name: (number in the file, parameters).
_MODELS = {
    'PINHOLE': (1, 4),
    'OPENCV': (4, 8),
    'OPENCV_FISHEYE': (5, 8),
    'FULL_OPENCV': (6, 12),
}
_POINT_2D = np.dtype([('xy', '<f8', 2), ('point', '<u8')])


def write_colmap(folder: Path, reconstruction: Reconstruction) -> None:
    """Write ``sparse/0`` into a folder, for pictures of the recording's own size.

    Image k + 1 is frame k, point k + 1 is point k; there is one camera, number 1. The world and
    its unit are those of the reconstruction.

    Raises:
        CameraError: COLMAP has no model for the lens.
        OutputError: a name is no name of a file, or a file exists or cannot be written.
        ValueError: a pose or a point is not finite, or an observation is of nothing.
    """
    check_names(reconstruction.names)
    _check(reconstruction)
    camera = _camera(reconstruction.camera)
    model = folder / 'sparse' / '0'
    make_folder(model)
    write_bytes(model / 'cameras.bin', camera)
    _write_images(model / 'images.bin', reconstruction)
    _write_points(model / 'points3D.bin', reconstruction.points, len(reconstruction.names))


def colmap_camera(camera: CameraModel) -> tuple[str, tuple[float, ...]]:
    """Return the name and the parameters of COLMAP's model for a camera.

    Raises:
        CameraError: there is none, as for a rational model of more than eight coefficients.
    """
    pinhole = (camera.fx, camera.fy, camera.cx + CORNER, camera.cy + CORNER)
    if not camera.is_distorted:
        return 'PINHOLE', pinhole
    if camera.distortion_model == 'equidistant':
        return 'OPENCV_FISHEYE', pinhole + camera.distortion
    # COLMAP and OpenCV order k1 k2 p1 p2 k3 k4 k5 k6 alike.
    if any(camera.distortion[8:]):
        raise CameraError(
            f'COLMAP has no lens of {len(camera.distortion)} coefficients: calibrate with '
            'plumb_bob, equidistant, or at most 8 coefficients of rational_polynomial'
        )
    full = (camera.distortion + (0.0,) * 8)[:8]
    if any(full[4:]):
        return 'FULL_OPENCV', pinhole + full
    return 'OPENCV', pinhole + full[:4]


def _check(reconstruction: Reconstruction) -> None:
    points, count = reconstruction.points, len(reconstruction.names)
    numbers = (
        reconstruction.trajectory.world_from_camera,
        points.positions,
        points.pixels,
        points.error_px,
    )
    if not all(np.isfinite(values).all() for values in numbers):
        raise ValueError('a reconstruction with NaN or infinity is not written')
    for indices, end in ((points.frame, count), (points.point, len(points.positions))):
        if indices.size and not (indices.min() >= 0 and indices.max() < end):
            raise ValueError('an observation names a frame or point that is not there')


def _camera(camera: CameraModel) -> bytes:
    name, parameters = colmap_camera(camera)
    number, count = _MODELS[name]
    return struct.pack(
        f'<QIiQQ{count}d', 1, _CAMERA_ID, number, camera.width, camera.height, *parameters
    )


def _write_images(path: Path, reconstruction: Reconstruction) -> None:
    camera_from_world = np.linalg.inv(reconstruction.trajectory.world_from_camera)
    points = reconstruction.points
    by_frame = np.argsort(points.frame, kind='stable')
    ends = np.cumsum(np.bincount(points.frame, minlength=len(reconstruction.names)))
    with new_file(path) as file:
        file.write(struct.pack('<Q', len(reconstruction.names)))
        start = 0
        for k, (name, end) in enumerate(zip(reconstruction.names, ends, strict=True)):
            pose = camera_from_world[k]
            x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat(canonical=True)
            file.write(struct.pack('<I7dI', k + 1, w, x, y, z, *pose[:3, 3], _CAMERA_ID))
            file.write(name.encode() + b'\0')
            seen = by_frame[start:end]
            observed = np.empty(len(seen), _POINT_2D)
            observed['xy'] = points.pixels[seen] + CORNER
            observed['point'] = points.point[seen] + 1
            file.write(struct.pack('<Q', len(seen)))
            file.write(observed.tobytes())
            start = end


def _write_points(path: Path, points: PointTracks, frames: int) -> None:
    by_point = np.argsort(points.point, kind='stable')
    tracks = np.column_stack([points.frame + 1, _places(points.frame, frames)])[by_point]
    tracks = tracks.astype('<u4')
    ends = np.cumsum(np.bincount(points.point, minlength=len(points.positions)))
    with new_file(path) as file:
        file.write(struct.pack('<Q', len(points.positions)))
        start = 0
        for k, end in enumerate(ends):
            color, error = points.colors[k], points.error_px[k]
            file.write(struct.pack('<Q3d3Bd', k + 1, *points.positions[k], *color, error))
            file.write(struct.pack('<Q', end - start))
            file.write(tracks[start:end].tobytes())
            start = end


def _places(frame: Int64[np.ndarray, ' m'], frames: int) -> Int64[np.ndarray, ' m']:
    """Return the place of each observation among those of its picture, as images.bin has them."""
    order = np.argsort(frame, kind='stable')
    counts = np.bincount(frame, minlength=frames)
    places = np.empty(len(frame), np.int64)
    places[order] = np.arange(len(frame)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places
