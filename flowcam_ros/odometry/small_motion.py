# SPDX-License-Identifier: Apache-2.0
"""Small motions (translation, rotation vector) and the poses they change."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def retract(
    step: Float[Tensor, ' 6'], pose: Float[Tensor, '4 4']
) -> Float[Tensor, '4 4']:
    """Apply a small motion (translation, rotation vector) in target axes to a pose."""
    x, y, z = step[3:].tolist()
    skew = torch.tensor(
        [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=pose.dtype, device=pose.device
    )
    rotation = torch.linalg.matrix_exp(skew)
    result = pose.clone()
    result[:3, :3] = rotation @ pose[:3, :3]
    result[:3, 3] = rotation @ pose[:3, 3] + step[:3]
    return result
