# SPDX-License-Identifier: Apache-2.0
"""Poses of all frames from depth and correspondences, in closed form (FlowMap, section 4.2).

FlowMap chains neighbours in time. Here the chain is a tree over the best pairs of frames, so that
one bad step (a cut, a blurred picture) does not part the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from torch import Tensor

from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.links import Links
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import MatchWeights
from flowcam_ros.geometry.procrustes import RigidFit, weighted_procrustes


@dataclass(frozen=True)
class PoseTree:
    """Which pair of frames each pose comes from; f frames.

    Attributes:
        order: frames, each after its parent; the first is the root.
        parent: (f,) of each frame; -1 for the root.
        edge: (f,) number of the edge that leads to each frame; -1 for the root.
        down: (f,) whether the edge's first frame is the parent.
    """

    order: list[int]
    parent: list[int]
    edge: list[int]
    down: list[bool]


class HeldTree:
    """The tree that is used for some time; a part of the state of a descent (Stateful)."""

    def __init__(self) -> None:
        self.tree = PoseTree([], [], [], [])

    def state(self) -> dict[str, Tensor]:
        """See Stateful."""
        return {name: torch.tensor(values) for name, values in vars(self.tree).items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stateful."""
        names = ('order', 'parent', 'edge', 'down')
        self.tree = PoseTree(*(state[name].tolist() for name in names))


def grow_tree(frames: int, first: np.ndarray, second: np.ndarray, cost: np.ndarray) -> PoseTree:
    """Return the tree of least cost through the largest connected group of frames.

    Args:
        frames: number of frames.
        first: (e,) frame of each edge.
        second: (e,) other frame.
        cost: (e,) positive.
    """
    graph = coo_matrix((cost, (first, second)), shape=(frames, frames)).tocsr()
    labels = connected_components(graph, directed=False)[1]
    root = int(np.flatnonzero(labels == np.bincount(labels).argmax())[0])
    tree = minimum_spanning_tree(graph)
    order, parent = breadth_first_order(tree + tree.T, root, directed=False)
    number = {(int(a), int(b)): n for n, (a, b) in enumerate(zip(first, second, strict=True))}
    edge, down = [-1] * frames, [False] * frames
    for frame in map(int, order[1:]):
        above = int(parent[frame])
        down[frame] = (above, frame) in number
        edge[frame] = number[(above, frame) if down[frame] else (frame, above)]
    return PoseTree([int(f) for f in order], [max(int(p), -1) for p in parent], edge, down)


def relative_poses(edges: Links, maps: Maps, lens: Lens, trust: MatchWeights | None) -> RigidFit:
    """Return second_from_first of each edge by the weighted rigid fit.

    Weights fall with the square of the distance, as the error of a position across the line of
    sight grows with it; trust in the correspondence multiplies them.

    Args:
        edges: (e, n) links.
        maps: depth and features.
        lens: of all frames.
        trust: in correspondences; None trusts all alike.
    """
    near = maps.inverse_depth(edges.first, edges.source)
    far = maps.inverse_depth(edges.second, edges.target)
    weights = edges.confidence * near * far
    if trust is not None:
        weights = weights * trust(
            maps.feature(edges.first, edges.source), maps.feature(edges.second, edges.target)
        )
    return weighted_procrustes(
        lens.rays(edges.source) / near.unsqueeze(-1),
        lens.rays(edges.target) / far.unsqueeze(-1),
        weights,
    )


def chained(tree: PoseTree, fits: RigidFit, frames: int) -> Float[Tensor, 'f 4 4']:
    """Return world_from_camera of each frame, the root's camera being the world.

    Frames that the tree does not reach stay at the origin.
    """
    relative = as_transforms(fits)
    inverse = rigid_inverse(relative)
    eye = torch.eye(4, dtype=relative.dtype, device=relative.device)
    poses = [eye] * frames
    for frame in tree.order[1:]:
        edge = tree.edge[frame]
        step = inverse[edge] if tree.down[frame] else relative[edge]
        poses[frame] = poses[tree.parent[frame]] @ step
    return torch.stack(poses)


def as_transforms(fits: RigidFit) -> Float[Tensor, '*e 4 4']:
    """Return rotations and translations as 4x4 matrices."""
    return transforms(fits.rotation, fits.translation)


def transforms(
    rotation: Float[Tensor, '*e 3 3'], translation: Float[Tensor, '*e 3']
) -> Float[Tensor, '*e 4 4']:
    """Return the 4x4 matrices of rotations and translations."""
    upper = torch.cat([rotation, translation.unsqueeze(-1)], -1)
    return torch.cat([upper, _last_row(upper)], -2)


def rigid_inverse(transforms: Float[Tensor, '*e 4 4']) -> Float[Tensor, '*e 4 4']:
    """Return the inverse of rigid transforms."""
    rotation = transforms[..., :3, :3].mT
    upper = torch.cat([rotation, -rotation @ transforms[..., :3, 3:]], -1)
    return torch.cat([upper, _last_row(upper)], -2)


def _last_row(upper: Float[Tensor, '*e 3 4']) -> Float[Tensor, '*e 1 4']:
    row = upper.new_tensor([0.0, 0.0, 0.0, 1.0])
    return row.expand(*upper.shape[:-2], 1, 4)
