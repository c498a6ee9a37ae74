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
from flowcam_ros.evaluation.views.fit import OnStep, fit_gaussians, render
from flowcam_ros.evaluation.views.gaussians import SH_DEGREE, initial_gaussians
from flowcam_ros.evaluation.views.pictures import TargetPicture, load_pictures
from flowcam_ros.evaluation.views.scene import ViewScene, split
from flowcam_ros.evaluation.views.scores import Scorer, ViewScore


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
    on_step: OnStep = lambda: None,
) -> ViewEvaluation:
    """Fit Gaussians to nine of ten views and score them on the others.

    Raises:
        EvaluationError: a picture cannot be read or is not of its camera's size, or the fit
            fails.
    """
    fitted, held_out = (load_pictures(part, max_pixels) for part in split(scene.views))
    radius = scene.radius()
    gaussians = initial_gaussians(scene.points, radius).to(device)
    begin = time.perf_counter()
    fit_gaussians(
        gaussians, fitted, backend, radius=radius, steps=steps, seed=seed, on_step=on_step
    )
    seconds = time.perf_counter() - begin
    scores = score_views(gaussians, held_out, backend, scorer)
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
) -> list[ViewScore]:
    """Return the score of each picture as the Gaussians show it."""
    device = gaussians['means'].device
    scores = []
    for picture in pictures:
        with torch.no_grad():
            image, _ = render(gaussians, picture, backend, SH_DEGREE)
        truth, valid = picture.target(device)
        scores.append(scorer.score(picture.name, image, truth, valid))
    return scores
