# SPDX-License-Identifier: Apache-2.0
"""The folder of a result as views and points, and which of the views are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowcam_ros.errors import EvaluationError, UsageError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.sequences.colmap_model import (
    ColmapPoints,
    read_cameras,
    read_images,
    read_points,
)

_HELD_OUT_EVERY = 10
# Within each ten; neither the first nor, mostly, the last view, beyond which nothing was seen.
_HELD_OUT_AT = 5
_FEWEST_VIEWS = 10
_FEWEST_POINTS = 4


@dataclass(frozen=True)
class SceneView:
    """One picture with its camera and pose.

    Attributes:
        name: as in the model.
        path: of the picture file.
        camera: intrinsics and distortion.
        camera_from_world: 4x4.
    """

    name: str
    path: Path
    camera: CameraModel
    camera_from_world: Matrix4


@dataclass(frozen=True)
class ViewScene:
    """Views in order of their names, and the points to start from."""

    views: tuple[SceneView, ...]
    points: ColmapPoints

    def radius(self) -> float:
        """Return 1.1 times the distance of the farthest camera from their middle, as 3DGS does."""
        centres = np.array([-v.camera_from_world[:3, :3].T @ v.camera_from_world[:3, 3]
                            for v in self.views])  # fmt: skip
        farthest = np.linalg.norm(centres - centres.mean(axis=0), axis=1).max()
        return max(1.1 * float(farthest), 1e-6)


def read_view_scene(folder: Path) -> ViewScene:
    """Read the COLMAP model ``sparse/0`` of a folder, and find its pictures in ``images``.

    Raises:
        UsageError: there is no model, or a picture is missing.
        EvaluationError: too few views or points.
        FlowcamError: the model is damaged, or has a lens that is not supported.
    """
    model = folder / 'sparse' / '0'
    if not model.is_dir():
        raise UsageError(
            f'{folder}: no sparse/0 in it; name a folder that flowcam refine has written, or one '
            'with a COLMAP model and its pictures in images'
        )
    cameras = read_cameras(model / 'cameras.bin')
    views = []
    for image in read_images(model / 'images.bin'):
        path = folder / 'images' / image.name
        if image.camera not in cameras:
            raise EvaluationError(f'{model}: {image.name} has no camera {image.camera}')
        if not path.is_file():
            raise UsageError(f'{path} does not exist; the pictures belong in {folder / "images"}')
        views.append(SceneView(image.name, path, cameras[image.camera], image.camera_from_world))
    points = read_points(model / 'points3D.bin')
    if len(views) < _FEWEST_VIEWS:
        raise EvaluationError(f'{folder}: {len(views)} views; at least {_FEWEST_VIEWS} are needed')
    if len(points.positions) < _FEWEST_POINTS:
        raise EvaluationError(
            f'{model / "points3D.bin"}: {len(points.positions)} points; the Gaussians need at '
            f'least {_FEWEST_POINTS} to start from'
        )
    return ViewScene(tuple(views), points)


def split(views: tuple[SceneView, ...]) -> tuple[list[SceneView], list[SceneView]]:
    """Return nine of every ten views to fit to, and the tenth ones, which are held out."""
    held_out = [k % _HELD_OUT_EVERY == _HELD_OUT_AT for k in range(len(views))]
    fitted = [view for view, out in zip(views, held_out, strict=True) if not out]
    return fitted, [view for view, out in zip(views, held_out, strict=True) if out]
