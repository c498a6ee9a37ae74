# SPDX-License-Identifier: Apache-2.0
"""Inverse depth of all pixels of a frame from dense flow to another frame of known pose."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.triangulation import triangulate

# Noise of dense flow, pixels of the size it was computed at, and what view and lens add to it.
_FLOW_SIGMA_PX, _FLOW_SHARE = 0.4, 0.01
_MIN_CONFIDENCE = 0.2
# Further from its epipolar line flow is wrong, pixels.
_MAX_ACROSS_PX = 2.0
# Window over which the distance from epipolar lines tells how good flow is, pixels.
_WINDOW = 15
_ROW = 4096


@dataclass(frozen=True)
class DensePixels:
    """The pixels of a depth map to be made; n of them, row by row.

    Attributes:
        pinhole: undistorted camera of the map.
        lens: of the tracking pictures.
        tracking: width and height of those.
        grid: (n, 2) pixels of the map.
        track: (n, 2) where they lie in the tracking picture.
        prior: (n,) inverse depth so far.
    """

    pinhole: CameraModel
    lens: Lens
    tracking: tuple[int, int]
    grid: Float[Tensor, 'n 2']
    track: Float[Tensor, 'n 2']
    prior: Float[Tensor, ' n']

    def within(self, width: int, height: int) -> Float[Tensor, 'n 2']:
        """Return where the pixels lie in a picture of another size."""
        scale = torch.tensor([self.tracking[0] / width, self.tracking[1] / height])
        return (self.track + 0.5) / scale - 0.5


def triangulated(
    pixels: DensePixels, flow: Flow, other_from_view: Float[Tensor, '4 4']
) -> tuple[Float[Tensor, ' n'], Float[Tensor, ' n']]:
    """Return inverse depth by one flow and its inverse variance; 0 where it says nothing.

    Errors of flow have no favourite direction. Those across the epipolar line show, and tell of
    those along it, which make the error of depth.
    """
    camera, lens = pixels.pinhole, pixels.lens
    height, width = flow.confidence.shape
    at = pixels.within(width, height)
    confidence = sampled(flow.confidence, at)
    scale = torch.tensor([pixels.tracking[0] / width, pixels.tracking[1] / height])
    target = lens.rays((pixels.track + sampled(flow.displacement, at) * scale).double())
    focal = torch.tensor([camera.fx, camera.fy], dtype=torch.float64)
    centre = torch.tensor([camera.cx, camera.cy], dtype=torch.float64)
    landed = (target[:, :2] * focal + centre).float()
    pixel_scale = camera.width / width
    moved = (landed - pixels.grid).norm(dim=-1)
    noise = (_FLOW_SIGMA_PX * pixel_scale) ** 2 + (_FLOW_SHARE * moved) ** 2
    found = triangulate(
        camera, pixels.grid, landed, noise, pixels.prior, other_from_view.float(), 0.0
    )
    good = (confidence > _MIN_CONFIDENCE) & (found.inverse_depth > 0)
    good &= found.across_px < _MAX_ACROSS_PX * max(pixel_scale, 1.0)
    good &= (at >= 0).all(-1) & (at <= torch.tensor([width - 1.0, height - 1.0])).all(-1)
    seen = _mean_around(found.across_px.square(), good, camera)
    variance = found.variance * (seen / noise).clamp_min(1.0)
    certainty = torch.where(good, confidence / variance, torch.zeros(()))
    return torch.where(good, found.inverse_depth, pixels.prior), certainty


def _mean_around(
    values: Float[Tensor, ' n'], good: Bool[Tensor, ' n'], camera: CameraModel
) -> Float[Tensor, ' n']:
    """Return the mean of the good values in a window around each pixel."""
    shape, window = (camera.height, camera.width), (_WINDOW, _WINDOW)
    count = good.reshape(shape).numpy().astype(np.float32)
    known = torch.where(good, values, torch.zeros(())).reshape(shape).numpy()
    mean = cv2.blur(known, window) / np.maximum(cv2.blur(count, window), np.float32(1e-3))
    return torch.from_numpy(mean.reshape(-1))


def sampled(values: np.ndarray, at: Float[Tensor, 'n 2']) -> Tensor:
    """Return values between the pixels of an array; beyond the rim they are those of the rim."""
    # OpenCV's remap takes no row as long as 32768 pixels
    rows = -(-len(at) // _ROW)
    place = np.zeros((rows * _ROW, 2), np.float32)
    place[: len(at)] = at.numpy()
    x, y = place.reshape(rows, _ROW, 2).transpose(2, 0, 1)
    found = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flat = found.reshape(rows * _ROW, *values.shape[2:])
    return torch.from_numpy(flat[: len(at)])
