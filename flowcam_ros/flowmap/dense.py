# SPDX-License-Identifier: Apache-2.0
"""Dense depth of a frame: what the network says, sharpened by triangulated flow.

Poses are precise by now, so flow to a few other frames gives inverse depth with a variance where
there is parallax and texture; the network fills the rest. Each is weighted by its certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.reconstruction import DepthMap
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.triangulation import triangulate

# Noise of dense flow, pixels of the size it was computed at, and what view and lens add to it.
_FLOW_SIGMA_PX, _FLOW_SHARE = 0.4, 0.01
_MIN_CONFIDENCE = 0.2
# Further from its epipolar line flow is wrong, pixels.
_MAX_ACROSS_PX = 2.0
# The network is never trusted further than this share of its inverse depth.
_LEAST_NETWORK_SIGMA = 0.05
_MOST_NETWORK_SIGMA = 1.0
# Estimates of one pixel that differ by more of their sigmas contradict each other.
_MAX_GAP = 3.0
_ROW = 4096


@dataclass(frozen=True)
class DenseView:
    """One frame as dense depth needs it.

    Attributes:
        frame: its number among the chosen ones.
        pinhole: undistorted camera of the depth map to be made.
        lens: of the tracking pictures.
        pose: (4, 4) world_from_camera.
        color: (height, width, 3) red green blue, any size.
    """

    frame: int
    pinhole: CameraModel
    lens: Lens
    pose: Float[Tensor, '4 4']
    color: np.ndarray


def dense_depth(
    view: DenseView,
    maps: Maps,
    flows: Sequence[tuple[Flow, Float[Tensor, '4 4']]],
    network_sigma: float,
) -> DepthMap:
    """Return the depth map of a frame.

    Args:
        view: the frame.
        maps: of the network, in the unit of the poses.
        flows: from this frame to others, with their poses world_from_camera.
        network_sigma: relative standard deviation of the network's inverse depth.
    """
    camera = view.pinhole
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    grid = torch.from_numpy(np.stack([columns, rows], -1).reshape(-1, 2))
    track = view.lens.project(rays(camera, grid).double()).float()
    frame = torch.full((len(track),), view.frame, dtype=torch.int64)
    prior = maps.inverse_depth(frame, track)
    sigma = min(max(network_sigma, _LEAST_NETWORK_SIGMA), _MOST_NETWORK_SIGMA)
    information = 1.0 / (sigma * prior).square()
    total, weighted = information.clone(), information * prior
    for flow, pose in flows:
        told, certainty = _triangulated(view, maps, flow, pose, grid, track, prior)
        # what contradicts the mean so far is not believed, the better it claims to be
        gap = (told - weighted / total).square() / (1.0 / total + 1.0 / certainty)
        certainty = certainty / (1.0 + (gap / _MAX_GAP**2).square())
        total, weighted = total + certainty, weighted + certainty * told
    shape = (camera.height, camera.width)
    inverse = (weighted / total).reshape(shape).numpy().astype(np.float32)
    variance = (1.0 / total).reshape(shape).numpy().astype(np.float32)
    return _map(view, maps, track, inverse, variance)


def _triangulated(
    view: DenseView,
    maps: Maps,
    flow: Flow,
    pose: Float[Tensor, '4 4'],
    grid: Float[Tensor, 'n 2'],
    track: Float[Tensor, 'n 2'],
    prior: Float[Tensor, ' n'],
) -> tuple[Float[Tensor, ' n'], Float[Tensor, ' n']]:
    """Return inverse depth by one flow and its inverse variance; 0 where it says nothing."""
    height, width = flow.confidence.shape
    scale = torch.tensor([maps.width / width, maps.height / height])
    at = (track + 0.5) / scale - 0.5
    moved = _sampled(flow.displacement, at)
    confidence = _sampled(flow.confidence, at)
    target = view.lens.rays((track + moved * scale).double())
    camera = view.pinhole
    focal = torch.tensor([camera.fx, camera.fy], dtype=torch.float64)
    centre = torch.tensor([camera.cx, camera.cy], dtype=torch.float64)
    landed = (target[:, :2] * focal + centre).float()
    pixel_scale = camera.width / width
    noise = (_FLOW_SIGMA_PX * pixel_scale) ** 2 + (_FLOW_SHARE * (landed - grid).norm(dim=-1)) ** 2
    other_from_view = torch.linalg.solve(pose, view.pose).float()
    found = triangulate(camera, grid, landed, noise, prior, other_from_view, 0.0)
    good = (confidence > _MIN_CONFIDENCE) & (found.inverse_depth > 0)
    good &= found.across_px < _MAX_ACROSS_PX * max(pixel_scale, 1.0)
    inside = (at >= 0).all(-1) & (at <= torch.tensor([width - 1.0, height - 1.0])).all(-1)
    certainty = torch.where(good & inside, confidence / found.variance, torch.zeros(()))
    return torch.where(good, found.inverse_depth, prior), certainty.clamp_min(1e-20)


def _map(
    view: DenseView,
    maps: Maps,
    track: Float[Tensor, 'n 2'],
    inverse: np.ndarray,
    variance: np.ndarray,
) -> DepthMap:
    """Return the map with its colours; unknown where the lens shows nothing."""
    height, width = view.color.shape[:2]
    scale = torch.tensor([maps.width / width, maps.height / height])
    at = ((track + 0.5) / scale - 0.5).reshape(*inverse.shape, 2).numpy()
    colors = cv2.remap(
        view.color, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    outside = (at < -0.5).any(-1) | (at > (width - 0.5, height - 0.5)).any(-1)
    unknown = outside | ~np.isfinite(inverse) | (inverse <= 0)
    inverse[unknown], variance[unknown] = 0.0, np.inf
    return DepthMap(view.pinhole, inverse, variance, colors)


def _sampled(values: np.ndarray, at: Float[Tensor, 'n 2']) -> Tensor:
    # OpenCV's remap takes no row as long as 32768 pixels
    rows = -(-len(at) // _ROW)
    place = np.zeros((rows * _ROW, 2), np.float32)
    place[: len(at)] = at.numpy()
    x, y = place.reshape(rows, _ROW, 2).transpose(2, 0, 1)
    found = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flat = found.reshape(rows * _ROW, *values.shape[2:])
    return torch.from_numpy(flat[: len(at)])
