# SPDX-License-Identifier: Apache-2.0
"""A reconstruction as the ``transforms.json`` of nerfstudio.

Cameras are camera-to-world with OpenGL axes (x right, y up, z backward). The world is that of the
reconstruction, so ``applied_transform`` is the identity and the points need no change. Pixels are
counted from the corner of the picture, as COLMAP does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowcam_ros.errors import CameraError
from flowcam_ros.export.colmap import CORNER
from flowcam_ros.export.depth_maps import DepthFiles
from flowcam_ros.export.json_file import write_json
from flowcam_ros.export.names import check_names
from flowcam_ros.export.picture_depth import depth_on_pictures
from flowcam_ros.export.pictures import PICTURES
from flowcam_ros.export.ply import write_ply
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.geometry.camera import CameraModel

_POINTS = 'sparse_points.ply'
_OPTICAL_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def write_nerfstudio(
    folder: Path, reconstruction: Reconstruction, depth: DepthFiles | None = None
) -> None:
    """Write ``transforms.json`` and the points it starts from, ``sparse_points.ply``.

    nerfstudio takes depth for every frame or for none. Where only some frames have it, those alone
    stand in a second file, ``transforms_depth.json``.

    Args:
        folder: with the pictures in ``images``.
        reconstruction: what to write.
        depth: the depth maps in the same folder, if there are any.

    Raises:
        CameraError: nerfstudio has no model for the lens.
        OutputError: a name is no name of a file, or a file exists or cannot be written.
    """
    check_names(reconstruction.names)
    shared = {
        **_lens(reconstruction.camera),
        'applied_transform': np.eye(4)[:3],
        'ply_file_path': _POINTS,
    }
    frames = [
        {
            'file_path': f'{PICTURES}/{name}',
            'transform_matrix': pose @ _OPTICAL_FROM_OPENGL,
            'colmap_im_id': k + 1,
        }
        for k, (name, pose) in enumerate(
            zip(reconstruction.names, reconstruction.trajectory.world_from_camera, strict=True)
        )
    ]
    if depth is not None:
        deep = depth_on_pictures(folder, reconstruction.camera, depth)
        # The option of nerfstudio that this number is for.
        scale = {'depth_unit_scale_factor': 1 / depth.per_unit}
        with_depth = [{**frames[k], 'depth_file_path': deep[k]} for k in sorted(deep)]
        if len(with_depth) == len(frames):
            shared, frames = {**shared, **scale}, with_depth
        elif with_depth:
            content = {**shared, **scale, 'frames': with_depth}
            write_json(folder / 'transforms_depth.json', content)
    write_json(folder / 'transforms.json', {**shared, 'frames': frames})
    write_ply(folder / _POINTS, reconstruction.points.positions, reconstruction.points.colors)


def _lens(camera: CameraModel) -> dict[str, object]:
    shared = {
        'w': camera.width,
        'h': camera.height,
        'fl_x': camera.fx,
        'fl_y': camera.fy,
        'cx': camera.cx + CORNER,
        'cy': camera.cy + CORNER,
    }
    if camera.distortion_model == 'equidistant':
        k1, k2, k3, k4 = camera.distortion
        return {
            'camera_model': 'OPENCV_FISHEYE', **shared, 'k1': k1, 'k2': k2, 'k3': k3, 'k4': k4
        }  # fmt: skip
    # Its k4 continues the polynomial of k1 to k3; OpenCV's k4 to k6 divide by another.
    if any(camera.distortion[5:]):
        raise CameraError(
            f'nerfstudio has no rational lens of {len(camera.distortion)} coefficients: undistort '
            'the pictures first (colmap image_undistorter), or calibrate with plumb_bob'
        )
    k1, k2, p1, p2, k3 = (camera.distortion + (0.0,) * 5)[:5]
    return {
        'camera_model': 'OPENCV', **shared, 'k1': k1, 'k2': k2, 'p1': p1, 'p2': p2, 'k3': k3
    }  # fmt: skip
