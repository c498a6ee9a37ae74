# SPDX-License-Identifier: Apache-2.0
"""How far depth and poses are from explaining correspondences (FlowMap, section 4.1)."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.links import Links
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.pose_tree import rigid_inverse

# Of the inverse depth of the point: nearer than this to the plane of the camera it does not count.
_MIN_Z = 0.05


def induced(
    links: Links,
    maps: Maps,
    lens: Lens,
    second_from_first: Float[Tensor, '*#n 4 4'],
) -> tuple[Float[Tensor, '*n 2'], Bool[Tensor, '*n']]:
    """Return where depth and motion of the camera put each link's source, and if it is ahead.

    Points behind the camera have no position: they take no part in any loss. Whether a point lies
    in the picture is asked of the measured position only, as a loss that drops what it puts
    outside would gain by putting it there.
    """
    near = maps.inverse_depth(links.first, links.source)
    rotation, shift = second_from_first[..., :3, :3], second_from_first[..., :3, 3]
    moved = (rotation @ lens.rays(links.source).unsqueeze(-1)).squeeze(-1)
    moved = moved + shift * near.unsqueeze(-1)
    return lens.project(moved), moved[..., 2] > _MIN_Z


def robust_mean(
    error_px: Float[Tensor, '*n'], weight: Float[Tensor, '*n'], delta_px: float
) -> Tensor:
    """Return the weighted mean of a cost that grows like a logarithm beyond ``delta_px``.

    FlowMap takes Huber's, under which the few frames that are far off decide all. Here each link
    pulls the less the further off it is, and those frames follow when their neighbours are right.
    """
    cost = (0.5 * (error_px / delta_px).square()).log1p()
    return (cost * weight).sum() / weight.sum().clamp_min(1e-12)


def link_loss(
    links: Links,
    maps: Maps,
    lens: Lens,
    poses: Float[Tensor, 'f 4 4'],
    delta_px: float,
) -> Tensor:
    """Return the loss of links under poses world_from_camera of all frames."""
    from_first = rigid_inverse(poses)[links.second] @ poses[links.first]
    predicted, ahead = induced(links, maps, lens, from_first)
    # the added speck keeps the derivative finite where the match is perfect
    error = ((predicted - links.target).square().sum(-1) + 1e-12).sqrt()
    return robust_mean(error, links.confidence * ahead, delta_px)
