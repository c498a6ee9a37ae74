# SPDX-License-Identifier: Apache-2.0
"""The whole of a view synthesis score: read, hold out, fit, render, compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import ParameterDict

from flowcam_ros.evaluation.views.backend import SplatBackend
from flowcam_ros.evaluation.views.fit import OnStep, fit_gaussians, refine_poses, render
from flowcam_ros.evaluation.views.gaussians import SH_DEGREE, initial_gaussians
from flowcam_ros.evaluation.views.pictures import TargetPicture, load_pictures
from flowcam_ros.evaluation.views.poses import PoseCorrections
from flowcam_ros.evaluation.views.scene import ViewScene, split
from flowcam_ros.evaluation.views.scores import Scorer, ViewScore

# Steps in which a held-out view finds its place.
_HELD_OUT_STEPS = 200


@dataclass(frozen=True)
class ViewEvaluation:
    """Scores of the held-out views; the means of all, and each.

    Attributes:
        fitted: number of views the Gaussians were fitted to.
        held_out: number of views they were scored on.
        width: of the pictures, pixels; those of the first view.
        height: likewise.
        steps: of the fit.
        seconds: time of the fit.
        gaussians: how many there were in the end.
        psnr: mean, dB.
        ssim: mean.
        lpips: mean; None if not asked for.
        views: scores of each held-out view.
    """

    fitted: int
    held_out: int
    width: int
    height: int
    steps: int
    seconds: float
    gaussians: int
    psnr: float
    ssim: float
    lpips: float | None
    views: tuple[ViewScore, ...]


def evaluate_views(
    scene: ViewScene,
    backend: SplatBackend,
    scorer: Scorer,
    device: torch.device,
    *,
    steps: int,
    max_pixels: int,
    seed: int = 0,
    refine: bool = False,
    on_step: OnStep = lambda: None,
) -> ViewEvaluation:
    """Fit Gaussians to nine of ten views and score them on the others.

    Args:
        scene: views and points.
        backend: gsplat.
        scorer: on the same device.
        device: to work on.
        steps: of the fit.
        max_pixels: larger pictures are reduced to this.
        seed: of the order of the pictures.
        refine: whether the poses are refined, too: those of the fitted views along with the
            Gaussians, those of the others afterwards under the finished Gaussians.
        on_step: is called after each step of the fit.

    Raises:
        EvaluationError: a picture cannot be read or is not of its camera's size, or the fit
            fails.
    """
    corrections = None
    fitted, held_out = (load_pictures(part, max_pixels) for part in split(scene.views))
    radius = scene.radius()
    gaussians = initial_gaussians(scene.points, radius).to(device)
    begin = time.perf_counter()
    fit_gaussians(
        gaussians,
        fitted,
        backend,
        radius=radius,
        steps=steps,
        seed=seed,
        corrections=PoseCorrections(fitted, radius, device) if refine else None,
        on_step=on_step,
    )
    seconds = time.perf_counter() - begin
    if refine:
        corrections = refine_poses(
            gaussians, held_out, backend, radius=radius, steps=_HELD_OUT_STEPS
        )
    scores = score_views(gaussians, held_out, backend, scorer, corrections)
    perceptual = [score.lpips for score in scores if score.lpips is not None]
    height, width = fitted[0].image.shape[:2]
    return ViewEvaluation(
        fitted=len(fitted),
        held_out=len(held_out),
        width=width,
        height=height,
        steps=steps,
        seconds=seconds,
        gaussians=len(gaussians['means']),
        psnr=float(np.mean([score.psnr for score in scores])),
        ssim=float(np.mean([score.ssim for score in scores])),
        lpips=float(np.mean(perceptual)) if perceptual else None,
        views=tuple(scores),
    )


def score_views(
    gaussians: ParameterDict,
    pictures: Sequence[TargetPicture],
    backend: SplatBackend,
    scorer: Scorer,
    corrections: PoseCorrections | None = None,
) -> list[ViewScore]:
    """Return the score of each picture as the Gaussians show it."""
    device = gaussians['means'].device
    scores = []
    for picture in pictures:
        with torch.no_grad():
            image, _ = render(gaussians, picture, backend, SH_DEGREE, corrections)
        truth, valid = picture.target(device)
        scores.append(scorer.score(picture.name, image, truth, valid))
    return scores
