# SPDX-License-Identifier: Apache-2.0
"""``flowcam evaluate-views``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import typer


class Perceptual(str, Enum):
    """The network of LPIPS."""

    ALEX = 'alex'
    VGG = 'vgg'
    NONE = 'none'


_NETWORKS: dict[Perceptual, Literal['alex', 'vgg'] | None] = {
    Perceptual.ALEX: 'alex',
    Perceptual.VGG: 'vgg',
    Perceptual.NONE: None,
}


def evaluate_views(
    folder: Annotated[
        Path,
        typer.Argument(metavar='DIR', help='Result of refine: sparse/0 (COLMAP) and images.'),
    ],
    steps: Annotated[int, typer.Option(help='Steps of the fit.', min=100)] = 30_000,
    lpips: Annotated[
        Perceptual, typer.Option(help='Network of LPIPS; none leaves it out.')
    ] = Perceptual.ALEX,
    max_pixels: Annotated[
        int, typer.Option(help='Larger pictures are reduced to this.', min=10_000)
    ] = 700_000,
    refine_poses: Annotated[
        bool, typer.Option('--refine-poses', help='Refine the poses along with the fit.')
    ] = False,
    seed: Annotated[int, typer.Option(help='Of the order of the pictures.', min=0)] = 0,
) -> None:
    """Fit 3-D Gaussians to 90 % of the frames, score the others: PSNR, SSIM, LPIPS, as JSON.

    Needs an NVIDIA GPU and gsplat (the extra "views" of this package).
    """
    import torch

    from flowcam_ros.cli.progress import progress
    from flowcam_ros.evaluation.views.backend import load_gsplat
    from flowcam_ros.evaluation.views.evaluate import evaluate_views as evaluate
    from flowcam_ros.evaluation.views.scene import read_view_scene
    from flowcam_ros.evaluation.views.scores import Scorer
    from flowcam_ros.export.json_file import dumps

    scene, backend = read_view_scene(folder), load_gsplat()
    device = torch.device('cuda')
    scorer = Scorer(_NETWORKS[lpips], device)
    torch.manual_seed(seed)  # of what gsplat draws when it splits Gaussians
    with progress('evaluate-views', steps) as advance:
        result = evaluate(
            scene,
            backend,
            scorer,
            device,
            steps=steps,
            max_pixels=max_pixels,
            seed=seed,
            refine=refine_poses,
            on_step=advance,
        )
    print(dumps(result), end='')
