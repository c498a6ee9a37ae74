# SPDX-License-Identifier: Apache-2.0
"""What gsplat does on a GPU, for a few Gaussians and without one: slow, plain, differentiable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SH_CONSTANT = 0.28209479177387814


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,  # noqa: N803 - gsplat's name
    width: int,
    height: int,
    sh_degree: int,
    packed: bool,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render as gsplat.rasterization does, with the first spherical harmonic only."""
    assert viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3) and not packed
    assert colors.shape[1] >= (sh_degree + 1) ** 2
    turn, shift = viewmats[0, :3, :3], viewmats[0, :3, 3]
    x, y, z = (means @ turn.T + shift).unbind(1)
    fx, fy, cx, cy = Ks[0, 0, 0], Ks[0, 1, 1], Ks[0, 0, 2], Ks[0, 1, 2]
    ahead = z > 0.01
    z = z.clamp_min(0.01)
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], 1)[None]
    means2d.requires_grad_()
    nothing = torch.zeros_like(z)
    slope = torch.stack([fx / z, nothing, -fx * x / z**2, nothing, fy / z, -fy * y / z**2], 1)
    spread = slope.view(-1, 2, 3) @ turn @ _axes(quats) * scales[:, None]
    covariance = spread @ spread.mT + 0.3 * torch.eye(2)
    radii = 3.0 * covariance.diagonal(dim1=1, dim2=2).sqrt() * ahead[:, None]
    order = z.argsort()
    row, column = torch.meshgrid(
        torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing='ij'
    )
    offset = torch.stack([column, row], -1).view(-1, 1, 2) - means2d[0, order]
    inverse = torch.linalg.inv(covariance[order])
    power = -0.5 * torch.einsum('pni,nij,pnj->pn', offset, inverse, offset)
    alpha = (opacities[order] * power.exp() * ahead[order]).clamp_max(0.99)
    clear = torch.cumprod(1.0 - alpha, 1)
    weight = alpha * torch.cat([torch.ones_like(clear[:, :1]), clear[:, :-1]], 1)
    shade = (SH_CONSTANT * colors[order, 0] + 0.5).clamp_min(0.0)
    image = (weight @ shade).view(1, height, width, 3)
    info = {
        'means2d': means2d,
        'radii': radii[None].detach(),
        'width': width,
        'height': height,
        'n_cameras': 1,
        'gaussian_ids': None,
    }
    return image, weight.sum(1).view(1, height, width, 1), info


def _axes(quats: Tensor) -> Tensor:
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, 1).view(-1, 3, 3)


class FixedStrategy:
    """Leaves the number of Gaussians as it is; the calls are those of gsplat's strategies."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.steps = 0

    def check_sanity(self, params: Any, optimizers: Any) -> None:
        assert set(params.keys()) == set(optimizers)

    def initialize_state(self, scene_scale: float) -> dict[str, Any]:
        return {'scene_scale': scene_scale}

    def step_pre_backward(self, params: Any, optimizers: Any, state: Any, step: int, info: Any):
        info['means2d'].retain_grad()

    def step_post_backward(
        self, params: Any, optimizers: Any, state: Any, step: int, info: Any, packed: bool
    ):
        assert info['means2d'].grad is not None
        self.steps += 1
