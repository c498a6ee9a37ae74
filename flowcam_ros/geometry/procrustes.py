# SPDX-License-Identifier: Apache-2.0
"""The weighted rigid fit of two point sets, differentiable everywhere it is defined.

One closed-form solution serves the online fit of scene flow (FlowCam, section on camera pose) and
the offline optimiser (FlowMap, section 4): R, t = argmin sum_k w_k |q_k - R p_k - t|^2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class RigidFit(NamedTuple):
    """Result of :func:`weighted_procrustes`; batch shapes follow the inputs.

    Attributes:
        rotation: (..., 3, 3) of target_from_source.
        translation: (..., 3), units of the points.
        conditioning: (...) in [0, 1]: how well the points fix the rotation, 0 for points on a
            line, a single point or no weight. Below about 1e-6 the rotation means nothing.
    """

    rotation: Tensor
    translation: Tensor
    conditioning: Tensor


def weighted_procrustes(
    source: Float[Tensor, '*batch n 3'],
    target: Float[Tensor, '*batch n 3'],
    weights: Float[Tensor, '*batch n'],
) -> RigidFit:
    """Return the rigid motion that takes ``source`` points to ``target`` points.

    Weights are non-negative and need not sum to one. The result is a proper rotation, also for
    mirrored points. Gradients reach all three inputs and stay finite for equal singular values.
    """
    total = weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
    normalized = (weights / total).unsqueeze(-1)
    source_mean = (normalized * source).sum(-2)
    target_mean = (normalized * target).sum(-2)
    p = source - source_mean.unsqueeze(-2)
    q = target - target_mean.unsqueeze(-2)
    covariance = (normalized * q).transpose(-1, -2) @ p
    rotation, conditioning = _NearestRotation.apply(covariance)
    translation = target_mean - (rotation @ source_mean.unsqueeze(-1)).squeeze(-1)
    return RigidFit(rotation, translation, conditioning)


class _NearestRotation(torch.autograd.Function):
    """argmax_R tr(R^T S) over SO(3), with the implicit-function gradient.

    The backward pass of an SVD divides by differences of singular values and breaks when two are
    equal, although R is smooth there. With M = R^T S and A = R^T dS the exact derivative is
    dR = R [omega]_x, (tr(M) I - M) omega = vee(A - A^T), singular only where R is undefined.
    """

    @staticmethod
    def forward(ctx: Any, covariance: Tensor) -> tuple[Tensor, Tensor]:
        s = covariance.double()
        u, values, vh = torch.linalg.svd(s)
        sign = torch.sign(torch.linalg.det(u @ vh))
        sign = torch.where(sign == 0, torch.ones_like(sign), sign)
        signed = torch.cat([values[..., :2], (values[..., 2] * sign).unsqueeze(-1)], -1)
        flip = torch.ones_like(values)
        flip[..., 2] = sign
        rotation = (u * flip.unsqueeze(-2)) @ vh
        # the stiffness of the weakest rotation axis is the sum of the two smallest signed values
        scale = signed.abs().sum(-1).clamp_min(torch.finfo(s.dtype).tiny)
        conditioning = ((signed[..., 1] + signed[..., 2]) / scale).clamp(0.0, 1.0)
        ctx.save_for_backward(rotation, s)
        ctx.mark_non_differentiable(conditioning)
        return rotation.to(covariance.dtype), conditioning.to(covariance.dtype)

    @staticmethod
    def backward(ctx: Any, grad_rotation: Tensor, _: Tensor) -> Tensor:
        rotation, s = ctx.saved_tensors
        grad = grad_rotation.double()
        m = rotation.transpose(-1, -2) @ s
        eye = torch.eye(3, dtype=s.dtype, device=s.device)
        trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        stiffness = trace * eye - 0.5 * (m + m.transpose(-1, -2))
        damping = 1e-12 * torch.linalg.matrix_norm(s)[..., None, None] + 1e-300
        # dL = <grad, R [w]x> = g . w with g = vee of the antisymmetric part of R^T grad
        b = rotation.transpose(-1, -2) @ grad
        g = torch.stack(
            [
                b[..., 2, 1] - b[..., 1, 2],
                b[..., 0, 2] - b[..., 2, 0],
                b[..., 1, 0] - b[..., 0, 1],
            ],
            -1,
        )
        h = torch.linalg.solve(stiffness + damping * eye, g)
        zero = torch.zeros_like(h[..., 0])
        skew = torch.stack(
            [
                torch.stack([zero, -h[..., 2], h[..., 1]], -1),
                torch.stack([h[..., 2], zero, -h[..., 0]], -1),
                torch.stack([-h[..., 1], h[..., 0], zero], -1),
            ],
            -2,
        )
        return (rotation @ skew).to(grad_rotation.dtype)
