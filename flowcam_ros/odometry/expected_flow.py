# SPDX-License-Identifier: Apache-2.0
"""The flow that a pose and the depth so far let expect, for dense flow to start from."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float

from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.keyframe import Keyframe, look_up
from flowcam_ros.odometry.reprojection import MIN_INVERSE_DEPTH, reproject

# Dense flow refines its start by more than it changes between neighbours of this grid.
_SPACING = 16


def expected_flow(
    keyframe: Keyframe, target_from_source: Matrix4
) -> Float[np.ndarray, 'height width 2']:
    """Return where each pixel of a key frame would move, pixels, float32.

    Where depth is unknown its median stands in for it.
    """
    camera = keyframe.frame.camera
    columns = max(2, round(camera.width / _SPACING))
    rows = max(2, round(camera.height / _SPACING))
    # centres of the cells that an enlargement of the grid to the picture spreads them over
    x = (np.arange(columns) + 0.5) * camera.width / columns - 0.5
    y = (np.arange(rows) + 0.5) * camera.height / rows - 0.5
    pixels = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)
    depth, _ = look_up(keyframe.depth, pixels, camera)
    known = depth > 0
    depth = np.where(known, depth, np.median(depth[known]) if known.any() else 0.0)
    source = torch.from_numpy(pixels).double()
    there = reproject(
        camera,
        rays(camera, source).mT,
        torch.from_numpy(depth).double().clamp_min(MIN_INVERSE_DEPTH),
        torch.from_numpy(target_from_source),
    )
    moved = (there.predicted[:2].mT - source) * there.ahead.unsqueeze(-1)
    reach = max(camera.width, camera.height)
    grid = moved.clamp(-reach, reach).float().numpy().reshape(rows, columns, 2)
    return cv2.resize(grid, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR)
