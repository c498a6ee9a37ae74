# SPDX-License-Identifier: Apache-2.0
"""The focal length during the optimisation: known, softly selected, then regressed.

FlowMap (section 4.3) asks the first two frames only. Several pairs with the most parallax are
asked here, so that a recording that begins at rest does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from flowcam_ros.flowmap.lens import FOCAL, Lens
from flowcam_ros.flowmap.links import Links
from flowcam_ros.flowmap.losses import induced
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.flowmap.pose_tree import as_transforms, relative_poses

# Candidates reach this far on both sides of the start, in sigmas of it but at least this factor.
_REACH, _LEAST_REACH, _CANDIDATES = 2.5, 1.15, 24
# How much better, in parts of the error, a candidate must be to count e times as much.
_TEMPERATURE = 0.05


class FocalModel:
    """One focal length for all frames.

    Args:
        lens: to start from.
        log_sigma: of the logarithm of its focal length; 0 if it is known.
        device: where to compute.
    """

    def __init__(self, lens: Lens, log_sigma: float, device: torch.device) -> None:
        self._lens = Lens(lens.numbers.to(device), lens.aspect)
        self.known = log_sigma <= 0.0
        reach = max(_REACH * log_sigma, float(np.log(_LEAST_REACH)))
        steps = torch.linspace(-reach, reach, _CANDIDATES, device=device)
        self._candidates = (lens.focal * steps.double().exp()).float()
        self._log_focal = nn.Parameter(self._lens.numbers[FOCAL].log().clone())
        self._regressed = self.known
        self._soft: list[float] = []

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained: nothing if the focal length is known."""
        return [] if self.known else [self._log_focal]

    def lens(self, maps: Maps, pairs: Links, trust: MatchWeights | None) -> Lens:
        """Return the lens of this step, with gradients to the focal length.

        Args:
            maps: depth and features of all frames.
            pairs: (p, n) links of pairs with much parallax.
            trust: in correspondences.
        """
        if self.known:
            return self._lens
        if self._regressed:
            return self._with(self._log_focal.exp())
        weights = self.weights(maps, pairs, trust)
        focal = (weights * self._candidates.log()).sum().exp()
        self._soft.append(float(focal.detach()))
        return self._with(focal)

    def regress(self, window: int) -> None:
        """Go on from the mean of the last ``window`` soft selections as a free number."""
        if not self._regressed and self._soft:
            start = float(np.mean(np.log(self._soft[-window:])))
            with torch.no_grad():
                self._log_focal.fill_(start)
        self._regressed = True

    def state(self) -> dict[str, Tensor]:
        """Return what is not trained of the state of a descent (Stateful)."""
        soft = torch.tensor(self._soft, dtype=torch.float64)
        return {'regressed': torch.tensor(self._regressed), 'soft': soft}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` told of."""
        self._regressed, self._soft = bool(state['regressed']), state['soft'].tolist()

    def weights(self, maps: Maps, pairs: Links, trust: MatchWeights | None) -> Float[Tensor, ' c']:
        """Return how much each candidate counts."""
        errors = torch.stack(
            [self._error(focal, maps, pairs, trust) for focal in self._candidates]
        )
        relative = errors / errors.detach().min().clamp_min(1e-9)
        return torch.softmax(-(relative - relative.detach().min()) / _TEMPERATURE, 0)

    def _error(
        self, focal: Tensor, maps: Maps, pairs: Links, trust: MatchWeights | None
    ) -> Tensor:
        lens = self._with(focal)
        pose = as_transforms(relative_poses(pairs, maps, lens, trust))
        predicted, ahead = induced(pairs, maps, lens, pose.unsqueeze(1))
        error = ((predicted - pairs.target).square().sum(-1) + 1e-6).sqrt()
        return (error * ahead).sum(-1).div(ahead.sum(-1).clamp_min(1)).mean()

    def _with(self, focal: Tensor) -> Lens:
        numbers = self._lens.numbers
        return Lens(torch.cat([focal.to(numbers).reshape(1), numbers[1:]]), self._lens.aspect)
