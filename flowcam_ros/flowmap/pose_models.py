# SPDX-License-Identifier: Apache-2.0
"""What poses come from: depth, in closed form (FlowMap), or free numbers (its ablation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from flowcam_ros.flowmap.edges import EdgeLinks
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.flowmap.pose_tree import HeldTree, PoseTree, chained, relative_poses, transforms


@runtime_checkable
class PoseModel(Protocol):
    """Poses of all frames, with parameters that can be trained."""

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained; empty if poses follow from depth."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return what was settled (Stateful); the parameters are not in it."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` told of."""
        ...

    def plan(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> PoseTree:
        """Settle, at depth as it is now, what does not change from step to step.

        Returns the tree that reaches the frames which have a pose.
        """
        ...

    def poses(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> Float[Tensor, 'f 4 4']:
        """Return world_from_camera of all frames; ``plan`` must have been called.

        Frames that correspond to none of the others stay at the origin.
        """
        ...


class ProcrustesPoses:
    """Poses by the weighted rigid fit of depth along a tree of the best pairs.

    Args:
        edges: candidate pairs.
    """

    def __init__(self, edges: EdgeLinks) -> None:
        self._edges = edges
        self._held = HeldTree()

    def parameters(self) -> list[nn.Parameter]:
        """See PoseModel."""
        return []

    def state(self) -> dict[str, Tensor]:
        """See PoseModel."""
        return self._held.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See PoseModel."""
        self._held.restore(state)

    def plan(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> PoseTree:
        """See PoseModel; the tree is grown anew."""
        self._held.tree = self._edges.tree(maps, lens, trust)
        return self._held.tree

    def poses(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> Float[Tensor, 'f 4 4']:
        """See PoseModel."""
        tree = self._held.tree
        used = sorted({edge for edge in tree.edge if edge >= 0})
        place = {edge: number for number, edge in enumerate(used)}
        fits = relative_poses(self._edges.subset(np.array(used, np.int64)), maps, lens, trust)
        local = [place.get(edge, -1) for edge in tree.edge]
        return chained(PoseTree(tree.order, tree.parent, local, tree.down), fits, len(local))


class RegressedPoses:
    """A free turn and place for each frame, started from the closed form.

    Args:
        edges: candidate pairs, of which the start is made.
        frames: how many.
        device: where to compute.
    """

    def __init__(self, edges: EdgeLinks, frames: int, device: torch.device) -> None:
        self._edges = edges
        self._held = HeldTree()
        # turn as a quaternion x y z w, then place
        still = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], device=device)
        self._numbers = nn.Parameter(still.repeat(frames, 1))

    def parameters(self) -> list[nn.Parameter]:
        """See PoseModel."""
        return [self._numbers]

    def state(self) -> dict[str, Tensor]:
        """See PoseModel."""
        return self._held.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See PoseModel."""
        self._held.restore(state)

    def plan(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> PoseTree:
        """See PoseModel; the first call sets the start, later ones change nothing."""
        if not self._held.tree.order:
            start = ProcrustesPoses(self._edges)
            self._held.tree = start.plan(maps, lens, trust)
            poses = start.poses(maps, lens, trust).detach().cpu().double().numpy()
            turns = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
            with torch.no_grad():
                self._numbers.copy_(torch.from_numpy(np.hstack([turns, poses[:, :3, 3]])))
        return self._held.tree

    def poses(self, maps: Maps, lens: Lens, trust: MatchWeights | None) -> Float[Tensor, 'f 4 4']:
        """See PoseModel."""
        return transforms(rotations(self._numbers[:, :4]), self._numbers[:, 4:])


def rotations(quaternions: Float[Tensor, '*n 4']) -> Float[Tensor, '*n 3 3']:
    """Return the rotation of each quaternion x y z w, of any length but 0."""
    x, y, z, w = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


POSE_MODELS: dict[str, Callable[[EdgeLinks, int, torch.device], PoseModel]] = {
    'procrustes': lambda edges, _frames, _device: ProcrustesPoses(edges),
    'regressed': RegressedPoses,
}
