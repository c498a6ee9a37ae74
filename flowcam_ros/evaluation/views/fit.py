# SPDX-License-Identifier: Apache-2.0
"""3-D Gaussians fitted to pictures, as the first paper on them does, by gsplat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter, ParameterDict

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.views.backend import SplatBackend
from flowcam_ros.evaluation.views.gaussians import SH_DEGREE, make_optimizers
from flowcam_ros.evaluation.views.pictures import TargetPicture
from flowcam_ros.evaluation.views.poses import POSE_STEP, PoseCorrections
from flowcam_ros.evaluation.views.scores import ssim

# Share of the structural similarity in the loss; the rest is the mean absolute difference.
_SSIM_SHARE = 0.2
# Step of Adam for the poses of held-out views, which have few steps to move.
_LONE_POSE_STEP = 2e-3
# Steps of means and poses shrink to this share over the run.
_LAST_STEP = 0.01
# Of the 30,000 steps of the paper: the next spherical harmonics, the last split, a reset.
_HARMONICS_EVERY, _REFINE_UNTIL, _RESET_EVERY = 1 / 30, 1 / 2, 1 / 10
OnStep = Callable[[], None]


def fit_gaussians(
    gaussians: ParameterDict,
    pictures: Sequence[TargetPicture],
    backend: SplatBackend,
    *,
    radius: float,
    steps: int,
    seed: int = 0,
    corrections: PoseCorrections | None = None,
    on_step: OnStep = lambda: None,
) -> None:
    """Move, split and remove the Gaussians so that they look like the pictures.

    Args:
        gaussians: as :func:`initial_gaussians` makes them, on the device to work on; changed.
        pictures: at least one; each is taken once before one is taken again.
        backend: gsplat.
        radius: extent of the cameras.
        steps: how many pictures are compared; 30,000 in the paper.
        seed: of the order of the pictures.
        corrections: of the poses, learnt along with the Gaussians; None keeps the poses.
        on_step: is called after each step.

    Raises:
        EvaluationError: all Gaussians were removed as too large or too faint.
    """
    device = gaussians['means'].device
    optimizers = make_optimizers(gaussians, radius)
    fades = [_fading(optimizers['means'], steps)]
    movers = list(optimizers.values())
    if corrections is not None:
        movers.append(torch.optim.Adam([corrections.values], lr=POSE_STEP))
        fades.append(_fading(movers[-1], steps))
    strategy = backend.DefaultStrategy(
        refine_stop_iter=round(steps * _REFINE_UNTIL),
        reset_every=max(1, round(steps * _RESET_EVERY)),
    )
    strategy.check_sanity(gaussians, optimizers)
    state = strategy.initialize_state(scene_scale=radius)
    harmonics_every = max(1, round(steps * _HARMONICS_EVERY))
    for step, picture in zip(range(steps), _endless(pictures, seed), strict=False):
        degree = min(step // harmonics_every, SH_DEGREE)
        target, valid = picture.target(device)
        image, info = render(gaussians, picture, backend, degree, corrections)
        strategy.step_pre_backward(gaussians, optimizers, state, step, info)
        loss = photometric_loss(image * valid[..., None], target)
        loss.backward()
        for optimizer in movers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for fade in fades:
            fade.step()
        strategy.step_post_backward(gaussians, optimizers, state, step, info, packed=False)
        if len(gaussians['means']) == 0:
            raise EvaluationError(
                f'step {step}: no Gaussian is left; the poses or points do not fit the pictures, '
                'or the camera hardly moved'
            )
        on_step()


def refine_poses(
    gaussians: ParameterDict,
    pictures: Sequence[TargetPicture],
    backend: SplatBackend,
    *,
    radius: float,
    steps: int,
) -> PoseCorrections:
    """Return corrections under which the Gaussians, which stay as they are, look most alike.

    Without them, views that took no part in a fit that moved the poses would be scored from where
    they were before.
    """
    device = gaussians['means'].device
    corrections = PoseCorrections(pictures, radius, device)
    still = ParameterDict({name: Parameter(v.detach(), False) for name, v in gaussians.items()})
    optimizer = torch.optim.Adam([corrections.values], lr=_LONE_POSE_STEP)
    fade = _fading(optimizer, steps)
    for _ in range(steps):
        for picture in pictures:
            target, valid = picture.target(device)
            image, _ = render(still, picture, backend, SH_DEGREE, corrections)
            photometric_loss(image * valid[..., None], target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        fade.step()
    return corrections


def render(
    gaussians: ParameterDict,
    picture: TargetPicture,
    backend: SplatBackend,
    degree: int,
    corrections: PoseCorrections | None = None,
) -> tuple[Float[Tensor, 'height width 3'], dict[str, Any]]:
    """Return how the Gaussians look from a picture's place, on black, and what gsplat tells."""
    device = gaussians['means'].device
    height, width = picture.image.shape[:2]
    pose = (
        picture.camera_from_world.to(device)
        if corrections is None
        else corrections.camera_from_world(picture)
    )
    colors, _, info = backend.rasterization(
        means=gaussians['means'],
        quats=gaussians['quats'],
        scales=gaussians['scales'].exp(),
        opacities=gaussians['opacities'].sigmoid(),
        colors=torch.cat([gaussians['sh0'], gaussians['shN']], 1),
        viewmats=pose[None],
        Ks=picture.matrix.to(device)[None],
        width=width,
        height=height,
        sh_degree=degree,
        packed=False,
    )
    return colors[0], info


def photometric_loss(
    image: Float[Tensor, 'height width 3'], target: Float[Tensor, 'height width 3']
) -> Float[Tensor, '']:
    """Return 0.8 times the mean absolute difference plus 0.2 times 1 - SSIM."""
    difference = (image - target).abs().mean()
    return (1.0 - _SSIM_SHARE) * difference + _SSIM_SHARE * (1.0 - ssim(image, target))


def _fading(
    optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.ExponentialLR:
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=_LAST_STEP ** (1.0 / steps))


def _endless(pictures: Sequence[TargetPicture], seed: int) -> Iterator[TargetPicture]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        for index in torch.randperm(len(pictures), generator=generator).tolist():
            yield pictures[index]
