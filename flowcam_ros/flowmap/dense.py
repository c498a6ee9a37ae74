# SPDX-License-Identifier: Apache-2.0
"""Dense depth of a frame: what the network says, sharpened by triangulated flow.

Poses are precise by now, so flow to a few other frames gives inverse depth with a variance where
there is parallax and texture; the network fills the rest; and a sensor may have measured it, too.
Each is weighted by its certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.correspondence.consistency import lengths
from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.flowmap.dense_fusion import with_flows, with_measurement
from flowcam_ros.flowmap.flow_depth import DensePixels, sampled, triangulated
from flowcam_ros.flowmap.frame_store import MeasuredDepth
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.reconstruction import DepthMap
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import rays

# The network is never trusted further than this share of its inverse depth.
_LEAST_NETWORK_SIGMA = 0.05
_MOST_NETWORK_SIGMA = 1.0
# It was fitted to tracked points. Away from them it errs by so much more, as a share of the
# inverse depth, in each width of the picture: 2 to 5 on recordings with measured depth.
_GUESS = 3.0
# Flow and network smear steps of depth over so many pixels of the map ...
_SMEAR_PX = 2.0
# ... on both sides of them.
_WINDOW = (5, 5)
_SLOPE = np.array([[-0.5, 0.0, 0.5]], np.float32)


@dataclass(frozen=True)
class DenseView:
    """One frame as dense depth needs it.

    Attributes:
        frame: its number among the chosen ones.
        pinhole: undistorted camera of the depth map to be made.
        lens: of the tracking pictures.
        pose: (4, 4) world_from_camera.
        color: (height, width, 3) red green blue, any size.
        tracked: (m, 2) points in the tracking picture that the depth model was fitted to.
        usable: where the tracking picture shows the world; None for everywhere.
        measured: depth that was measured, in the unit of the poses; its variance is believed.
    """

    frame: int
    pinhole: CameraModel
    lens: Lens
    pose: Float[Tensor, '4 4']
    color: np.ndarray
    tracked: Float[np.ndarray, 'm 2']
    usable: Bool[np.ndarray, 'rows columns'] | None = None
    measured: MeasuredDepth | None = None


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
        network_sigma: relative standard deviation of the network's inverse depth at points that
            were tracked.
    """
    pixels = _pixels(view, maps)
    prior = pixels.prior
    sigma = max(network_sigma, _LEAST_NETWORK_SIGMA)
    away = _GUESS * sampled(_distances(view, maps), pixels.track)
    sigmas = (sigma**2 + away.square()).sqrt().clamp_max(_MOST_NETWORK_SIGMA)
    found = [
        triangulated(pixels, flow, torch.linalg.solve(pose, view.pose)) for flow, pose in flows
    ]
    told, certainty = (
        torch.stack([each[k] for each in found]) if found else prior.new_zeros(0, len(prior))
        for k in (0, 1)
    )
    mean, variance = with_flows(prior, 1.0 / (sigmas * prior).square(), told, certainty)
    variance = variance + _smeared(mean, view.pinhole)
    if view.measured is not None:
        mean, variance = with_measurement(mean, variance, *_measured(view.measured, pixels))
    shape = (view.pinhole.height, view.pinhole.width)
    return _map(
        view,
        pixels,
        mean.reshape(shape).numpy().astype(np.float32),
        variance.reshape(shape).numpy().astype(np.float32),
    )


def _pixels(view: DenseView, maps: Maps) -> DensePixels:
    camera = view.pinhole
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    grid = torch.from_numpy(np.stack([columns, rows], -1).reshape(-1, 2))
    track = view.lens.project(rays(camera, grid).double()).float()
    frame = torch.full((len(track),), view.frame, dtype=torch.int64)
    prior = maps.inverse_depth(frame, track)
    return DensePixels(camera, view.lens, (maps.width, maps.height), grid, track, prior)


def _distances(view: DenseView, maps: Maps) -> Float[np.ndarray, 'rows columns']:
    """Return how far each tracking pixel is from a tracked point, in widths of the picture."""
    if not len(view.tracked):
        return np.ones((maps.height, maps.width), np.float32)
    at = np.rint(view.tracked).astype(np.intp).clip(0, (maps.width - 1, maps.height - 1))
    free = np.ones((maps.height, maps.width), np.uint8)
    free[at[:, 1], at[:, 0]] = 0
    return cv2.distanceTransform(free, cv2.DIST_L2, 3) / np.float32(maps.width)


def _smeared(inverse: Float[Tensor, ' n'], camera: CameraModel) -> Float[Tensor, ' n']:
    """Return the variance of an inverse depth whose place is only known to a few pixels."""
    map_ = inverse.reshape(camera.height, camera.width).numpy().astype(np.float32)
    calm = cv2.blur(map_, _WINDOW)  # noise is no slope
    slopes = [cv2.filter2D(calm, cv2.CV_32F, kernel) for kernel in (_SLOPE, _SLOPE.T)]
    steepest = cv2.dilate(lengths(*slopes), np.ones(_WINDOW, np.uint8))
    return torch.from_numpy(np.square(_SMEAR_PX * steepest).reshape(-1))


def _measured(
    measured: MeasuredDepth, pixels: DensePixels
) -> tuple[Float[Tensor, ' n'], Float[Tensor, ' n']]:
    """Return measured inverse depth and its inverse variance at the nearest pixels."""
    camera = measured.camera
    at = pixels.within(camera.width, camera.height).round().long()
    x = at[:, 0].clamp(0, camera.width - 1)
    y = at[:, 1].clamp(0, camera.height - 1)
    inverse = torch.from_numpy(measured.inverse_depth)[y, x]
    variance = torch.from_numpy(measured.variance)[y, x]
    return inverse, torch.where(inverse > 0, 1.0 / variance, torch.zeros(()))


def _map(
    view: DenseView, pixels: DensePixels, inverse: np.ndarray, variance: np.ndarray
) -> DepthMap:
    """Return the map with its colours; unknown where the lens or a mask shows nothing."""
    height, width = view.color.shape[:2]
    at = pixels.within(width, height).reshape(*inverse.shape, 2).numpy()
    colors = cv2.remap(
        view.color, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    outside = (at < -0.5).any(-1) | (at > (width - 0.5, height - 0.5)).any(-1)
    unknown = outside | ~np.isfinite(inverse) | (inverse <= 0)
    if view.usable is not None:
        shown = sampled(view.usable.astype(np.float32), pixels.track).reshape(inverse.shape)
        unknown |= (shown < 1.0).numpy()
    inverse[unknown], variance[unknown] = 0.0, np.inf
    return DepthMap(view.pinhole, inverse, variance, colors)
