# SPDX-License-Identifier: Apache-2.0
"""Pictures as they are fitted and scored: undistorted, of about one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from flowcam_ros.errors import EvaluationError, FrameRejected
from flowcam_ros.evaluation.views.scene import SceneView
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import working_size
from flowcam_ros.geometry.rectify import Rectifier
from flowcam_ros.sequences.image_files import read_image

# From the centre of the top-left pixel, where ours are counted from, to the corner of the picture.
_CORNER = 0.5


@dataclass(frozen=True)
class TargetPicture:
    """One undistorted picture, on the CPU.

    Attributes:
        name: of the view.
        image: (height, width, 3) uint8, red green blue.
        valid: (height, width) where the undistorted picture shows something.
        matrix: (3, 3) intrinsics with pixels counted from the corner, as gsplat does.
        camera_from_world: (4, 4) float32.
    """

    name: str
    image: UInt8[Tensor, 'height width 3']
    valid: Bool[Tensor, 'height width']
    matrix: Float[Tensor, '3 3']
    camera_from_world: Float[Tensor, '4 4']

    def target(
        self, device: torch.device
    ) -> tuple[Float[Tensor, 'height width 3'], Bool[Tensor, 'height width']]:
        """Return the picture from 0 to 1 and its valid pixels on a device; black elsewhere."""
        valid = self.valid.to(device)
        image = self.image.to(device).to(torch.float32) / 255.0
        return image * valid[..., None], valid


def load_pictures(views: Sequence[SceneView], max_pixels: int) -> list[TargetPicture]:
    """Read, undistort and reduce the pictures; 2 MB each at 700,000 pixels.

    Raises:
        EvaluationError: a picture cannot be read, or is not of its camera's size.
    """
    rectifiers: dict[CameraModel, Rectifier] = {}
    pictures = []
    for view in views:
        camera = view.camera
        if camera not in rectifiers:
            size = working_size(camera.width, camera.height, max_pixels)
            rectifiers[camera] = Rectifier(camera, *size)
        pictures.append(_load(view, rectifiers[camera]))
    return pictures


def _load(view: SceneView, rectifier: Rectifier) -> TargetPicture:
    try:
        image = rectifier.image(read_image(view.path))
    except FrameRejected as error:
        raise EvaluationError(f'{view.path}: {error}') from error
    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    matrix = rectifier.camera.matrix
    matrix[:2, 2] += _CORNER
    return TargetPicture(
        view.name,
        torch.from_numpy(cv2.cvtColor(image, code)),
        torch.from_numpy(rectifier.valid),
        torch.from_numpy(matrix.astype(np.float32)),
        torch.from_numpy(view.camera_from_world.astype(np.float32)),
    )
