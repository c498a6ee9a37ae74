# SPDX-License-Identifier: Apache-2.0
"""Small corrections of the poses of views, learnt from how the Gaussians look from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.evaluation.views.pictures import TargetPicture

# Step of Adam, radians and shares of the scene's radius.
POSE_STEP = 1e-4


class PoseCorrections:
    """One rigid motion for each view, in the axes of its camera; none at first.

    Attributes:
        values: (V, 6) translation, in units of the scene's radius, and rotation vector.
    """

    def __init__(
        self, pictures: Sequence[TargetPicture], radius: float, device: torch.device
    ) -> None:
        self._index = {picture.name: k for k, picture in enumerate(pictures)}
        self._radius = radius
        self.values = torch.zeros(len(pictures), 6, device=device, requires_grad=True)

    def camera_from_world(self, picture: TargetPicture) -> Float[Tensor, '4 4']:
        """Return the corrected pose of a view; gradients flow to ``values``."""
        value = self.values[self._index[picture.name]]
        x, y, z = value[3:].unbind()
        nothing = torch.zeros_like(x)
        turn = torch.stack([nothing, -z, y, z, nothing, -x, -y, x, nothing]).view(3, 3)
        shift = (value[:3] * self._radius)[:, None]
        last = torch.zeros(1, 4, device=value.device)
        twist = torch.cat([torch.cat([turn, shift], 1), last])
        moved: Tensor = torch.linalg.matrix_exp(twist)
        return moved @ picture.camera_from_world.to(value.device)
