# SPDX-License-Identifier: Apache-2.0
"""Depth images that lie on the pictures as they came, lens distortion included."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from flowcam_ros.errors import OutputError
from flowcam_ros.export.atomic import make_folder, write_bytes
from flowcam_ros.export.depth_maps import DEPTH, DepthFiles
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import pixel_rays

PICTURE_DEPTH = 'depth_of_pictures'


def depth_on_pictures(folder: Path, camera: CameraModel, depth: DepthFiles) -> dict[int, str]:
    """Return for each frame with depth the path of a PNG that fits its picture by mere resizing.

    These are the maps themselves where the camera has no distortion. Else they are bent like the
    picture, by nearest neighbours, and written into ``depth_of_pictures``; values as in ``depth``.

    Args:
        folder: of the result, with the maps.
        camera: of the pictures.
        depth: the maps.

    Raises:
        OutputError: a file exists already, or cannot be read or written.
    """
    bend = functools.lru_cache(1)(_look_up)
    found = {}
    for frame, path in depth.png.items():
        map_camera = depth.cameras[frame]
        if _fits(camera, map_camera):
            found[frame] = path
            continue
        values = cv2.imread(str(folder / path), cv2.IMREAD_UNCHANGED)
        if values is None:
            raise OutputError(f'{folder / path}: cannot be read again')
        values = cv2.remap(values, *bend(camera, map_camera), cv2.INTER_NEAREST)
        found[frame] = path.replace(DEPTH, PICTURE_DEPTH, 1)
        target = folder / found[frame]
        make_folder(target.parent)
        write_bytes(target, cv2.imencode('.png', values)[1].tobytes())
    return found


def _fits(camera: CameraModel, map_camera: CameraModel) -> bool:
    if camera.is_distorted:
        return False
    resized = camera.resized(map_camera.width, map_camera.height)
    return np.allclose(resized.matrix, map_camera.matrix, rtol=0, atol=0.1)


def _look_up(
    camera: CameraModel, map_camera: CameraModel
) -> tuple[Float32[np.ndarray, 'h w'], Float32[np.ndarray, 'h w']]:
    """Return where the map has what each pixel of the picture, of the map's size, shows."""
    rays = pixel_rays(camera.resized(map_camera.width, map_camera.height))
    # No map has pixels there, and no lens model its inverse.
    rays = np.nan_to_num(rays, nan=-1e4)
    x = rays[..., 0] * map_camera.fx + map_camera.cx
    y = rays[..., 1] * map_camera.fy + map_camera.cy
    return x.astype(np.float32), y.astype(np.float32)
