# SPDX-License-Identifier: Apache-2.0
"""The pairs of frames that poses come from, with the correspondences of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.links import Links, make_links
from flowcam_ros.flowmap.losses import induced
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.flowmap.pose_tree import PoseTree, as_transforms, grow_tree, relative_poses

# Of the cost of an edge: even perfect correspondences have this error, pixels.
_NOISE_PX = 1.0


class EdgeLinks:
    """The links of candidate edges, the same number for each.

    Args:
        pairs: verified matches; each is a candidate.
        per_edge: links of an edge; those of a pair with fewer are repeated.
        device: where they shall be.
        seed: of the choice among the matches of a pair.
    """

    def __init__(
        self, pairs: Sequence[PairMatches], per_edge: int, device: torch.device, seed: int = 0
    ) -> None:
        random = np.random.default_rng(seed)
        self.first = np.array([p.first for p in pairs], np.int64)
        self.second = np.array([p.second for p in pairs], np.int64)
        self._count = np.array([len(p.source) for p in pairs], np.int64)
        chosen = [_some(len(p.source), per_edge, random) for p in pairs]
        shape = (len(pairs), per_edge)
        self.links = make_links(
            np.broadcast_to(self.first[:, None], shape),
            np.broadcast_to(self.second[:, None], shape),
            np.stack([p.source[c] for p, c in zip(pairs, chosen, strict=True)]),
            np.stack([p.target[c] for p, c in zip(pairs, chosen, strict=True)]),
            None,
            device,
        )

    def subset(self, index: np.ndarray) -> Links:
        """Return the links of some edges."""
        chosen = torch.from_numpy(np.asarray(index, np.int64)).to(self.links.first.device)
        links = self.links
        return Links(
            links.first[chosen],
            links.second[chosen],
            links.source[chosen],
            links.target[chosen],
            links.confidence[chosen],
        )

    @torch.no_grad()
    def tree(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> PoseTree:
        """Return the tree over the edges that depth explains best, and that have most matches."""
        error = median_errors(self.links, maps, lens, trust).cpu().numpy()
        cost = (np.nan_to_num(error, nan=1e6) + _NOISE_PX) / self._count
        return grow_tree(len(maps.log_inverse), self.first, self.second, cost)


def median_errors(
    edges: Links, maps: Maps, lens: Lens, trust: MatchWeights | None
) -> Float[Tensor, ' e']:
    """Return the median distance of each edge's links from where its own pose puts them."""
    pose = as_transforms(relative_poses(edges, maps, lens, trust))
    predicted, ahead = induced(edges, maps, lens, pose.unsqueeze(1))
    error = (predicted - edges.target).norm(dim=-1)
    return error.masked_fill(~ahead, float('inf')).median(-1).values


def _some(available: int, wanted: int, random: np.random.Generator) -> np.ndarray:
    whole = np.tile(np.arange(available), wanted // available)
    return np.concatenate([whole, random.permutation(available)[: wanted % available]])
