# SPDX-License-Identifier: Apache-2.0
"""gsplat, or one line that says what is missing."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from flowcam_ros.errors import FlowcamError

_HOW = "a CUDA build of torch and pip install 'flowcam_ros[views]'"


@runtime_checkable
class SplatBackend(Protocol):
    """What is used of gsplat: the renderer, and the rule by which Gaussians come and go."""

    @property
    def rasterization(self) -> Any:
        """Renders Gaussians, see the documentation of gsplat."""
        ...

    @property
    def DefaultStrategy(self) -> Any:
        """Splits, copies and removes Gaussians as the first paper on them does."""
        ...


def load_gsplat() -> SplatBackend:
    """Return gsplat, ready to render on the GPU.

    Raises:
        FlowcamError: there is no CUDA device, gsplat is not installed, or it does not run.
    """
    if not torch.cuda.is_available():
        raise FlowcamError(
            f'view synthesis needs an NVIDIA GPU with CUDA, and torch {torch.__version__} finds '
            f'none here; run it on a machine that has one, with {_HOW}'
        )
    try:
        import gsplat
    except ImportError as error:
        raise FlowcamError(f'view synthesis needs gsplat ({error}); install {_HOW}') from error
    _try_out(gsplat)
    backend: SplatBackend = gsplat
    return backend


def _try_out(gsplat: Any) -> None:
    """Render one Gaussian: the first call compiles what no wheel has brought, and may fail."""
    device = torch.device('cuda')
    one = torch.ones(1, 3, device=device)
    try:
        gsplat.rasterization(
            means=one,
            quats=torch.ones(1, 4, device=device),
            scales=one,
            opacities=one[:, 0],
            colors=one,
            viewmats=torch.eye(4, device=device)[None],
            Ks=torch.eye(3, device=device)[None],
            width=16,
            height=16,
        )
        torch.cuda.synchronize()
    except Exception as error:  # of the compiler, the loader, or the driver
        raise FlowcamError(
            f'gsplat does not run here ({" ".join(str(error).split())}); it needs a wheel for '
            f'torch {torch.__version__}, or the CUDA compiler nvcc {torch.version.cuda}'
        ) from error
