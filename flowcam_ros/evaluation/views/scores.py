# SPDX-License-Identifier: Apache-2.0
"""How like two pictures are: PSNR, SSIM, LPIPS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.errors import FlowcamError, UsageError

Image = Float[Tensor, 'height width 3']
Valid = Bool[Tensor, 'height width']
# Network of LPIPS: file of its weights as torchvision stores them.
LpipsNetwork = Literal['alex', 'vgg']
LPIPS_WEIGHTS: dict[LpipsNetwork, str] = {
    'alex': 'alexnet-owt-7be5be79.pth',
    'vgg': 'vgg16-397923af.pth',
}


@dataclass(frozen=True)
class ViewScore:
    """Scores of one held-out view.

    Attributes:
        name: of the picture.
        psnr: peak signal-to-noise ratio over the valid pixels, dB.
        ssim: structural similarity, 1 if alike.
        lpips: learned perceptual distance, 0 if alike; None if not asked for.
    """

    name: str
    psnr: float
    ssim: float
    lpips: float | None


class Scorer:
    """Compares pictures; the network of LPIPS is loaded once."""

    def __init__(self, lpips: LpipsNetwork | None, device: torch.device) -> None:
        """Make ready.

        Args:
            lpips: ``alex`` or ``vgg``, as the papers have it; None leaves LPIPS out.
            device: where the pictures will be.

        Raises:
            UsageError: the weights of the network are not where torchvision keeps them.
            FlowcamError: torchmetrics or torchvision is not installed.
        """
        self._lpips = None if lpips is None else _load_lpips(lpips, device)
        similarity()  # told before the fit, not after

    def score(self, name: str, rendered: Image, truth: Image, valid: Valid) -> ViewScore:
        """Return the scores of a rendered picture; both from 0 to 1."""
        rendered = rendered.clamp(0.0, 1.0) * valid[..., None]
        lpips = None
        if self._lpips is not None:
            with torch.no_grad():
                lpips = float(self._lpips(_batch(rendered), _batch(truth)))
        return ViewScore(name, psnr(rendered, truth, valid), float(ssim(rendered, truth)), lpips)


def psnr(rendered: Image, truth: Image, valid: Valid) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for equal pictures."""
    error = (rendered - truth)[valid].double().square().mean()
    return float(-10.0 * torch.log10(error))


def ssim(rendered: Image, truth: Image) -> Float[Tensor, '']:
    """Return the structural similarity (Gaussian window of 11 pixels, sigma 1.5).

    Gradients flow through it.

    Raises:
        FlowcamError: torchmetrics is not installed.
    """
    value: Tensor = similarity()(_batch(rendered), _batch(truth), data_range=1.0)
    return value


def similarity() -> Any:
    """Return torchmetrics' SSIM.

    Raises:
        FlowcamError: torchmetrics is not installed.
    """
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ImportError as error:
        raise FlowcamError(
            f"SSIM needs torchmetrics ({error}); pip install 'flowcam_ros[views]'"
        ) from error
    return structural_similarity_index_measure


def _load_lpips(network: LpipsNetwork, device: torch.device) -> Any:
    weights = Path(torch.hub.get_dir()) / 'checkpoints' / LPIPS_WEIGHTS[network]
    if not weights.is_file():
        raise UsageError(
            f'LPIPS needs the weights of its network, which are not downloaded unasked: put '
            f"torchvision's {weights.name} into {weights.parent}, or leave LPIPS out "
            '(--lpips none)'
        )
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity(net_type=network, normalize=True)
    except ImportError as error:
        raise FlowcamError(
            f"LPIPS needs torchmetrics and torchvision ({error}); pip install 'flowcam_ros[views]'"
        ) from error
    return metric.to(device)


def _batch(image: Image) -> Float[Tensor, '1 3 height width']:
    return image.permute(2, 0, 1)[None]
