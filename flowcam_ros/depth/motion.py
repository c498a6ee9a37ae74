# SPDX-License-Identifier: Apache-2.0
"""Depth from motion: a Gaussian filter on the inverse depth of every pixel of the key frame.

Each frame's flow and pose triangulate the key frame's pixels; the result is fused by inverse
variance and carried to the next key frame (after Engel, Sturm, Cremers 2013, with dense flow in
place of epipolar search). The map has half the working size: DIS resolves no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import rays

# The scale of a single camera is free: the first key frame's inverse depth is 1 per unit.
_START_INVERSE_DEPTH = 1.0
_START_SIGMA = 0.6
_MIN_INVERSE_DEPTH = 1e-3
_MAX_INVERSE_DEPTH = 30.0
# Error of dense flow where it is consistent. Errors of neighbouring frames are correlated (same
# key frame, same texture), so this is larger than the error of a single match.
_FLOW_SIGMA_PX = 0.7
_MIN_RELATIVE_SIGMA = 0.01
_GATE_SIGMAS = 3.0


@dataclass(frozen=True)
class _Measurement:
    inverse_depth: Tensor
    variance: Tensor  # infinite where the flow says nothing


class MotionDepth:
    """The filter; the maps it works on belong to the key frames."""

    scale_source = 'none'

    def start(
        self, frame: PreparedFrame, inverse_depth: float = _START_INVERSE_DEPTH
    ) -> DepthEstimate:
        """Return the map of a first key frame: one depth everywhere, hardly known."""
        camera = _map_camera(frame.camera)
        shape = (camera.height, camera.width)
        inverse = np.full(shape, inverse_depth, np.float32)
        variance = np.full(shape, (_START_SIGMA * inverse_depth) ** 2, np.float32)
        return _estimate(frame, camera, inverse, variance)

    def update(
        self,
        estimate: DepthEstimate,
        flow: Flow,
        target_from_source: Float[np.ndarray, '4 4'],
        translation_sigma: float,
    ) -> DepthEstimate:
        """Return the key frame's map fused with what one more frame says.

        Args:
            estimate: the map so far.
            flow: from the key frame to the frame, at working size.
            target_from_source: pose of the frame, from the key frame.
            translation_sigma: standard deviation of the pose's translation.
        """
        displacement, confidence = _to_map(flow, estimate.camera)
        prior = torch.from_numpy(estimate.inverse_depth)
        variance = torch.from_numpy(estimate.variance)
        measured = _triangulate(
            estimate.camera, prior, displacement, confidence, target_from_source, translation_sigma
        )
        inverse, fused = _fuse(prior, variance, measured)
        return DepthEstimate(
            estimate.stamp_ns, estimate.camera, inverse.numpy(), fused.numpy(), estimate.image
        )

    def carry(
        self,
        estimate: DepthEstimate,
        frame: PreparedFrame,
        flow_to_old: Flow,
        new_from_old: Float[np.ndarray, '4 4'],
    ) -> DepthEstimate:
        """Return the map of a new key frame, looked up in the old one's along the flow.

        Args:
            estimate: map of the old key frame.
            frame: the new key frame.
            flow_to_old: from the new key frame to the old one, at working size.
            new_from_old: pose of the old key frame, from the new one.
        """
        camera = _map_camera(frame.camera)
        displacement, confidence = _to_map(flow_to_old, camera)
        pixels = _pixels(camera) + displacement
        x, y = pixels[..., 0].numpy(), pixels[..., 1].numpy()
        # averaging inverse depth over a depth edge would invent points between: take the nearest
        old = cv2.remap(estimate.inverse_depth, x, y, cv2.INTER_NEAREST, borderValue=0.0)
        old_variance = cv2.remap(estimate.variance, x, y, cv2.INTER_NEAREST, borderValue=0.0)
        inverse = torch.from_numpy(old)
        z = _moved(camera, pixels, inverse, new_from_old)[..., 2].clamp_min(0.05)
        factor = 1.0 / z
        new = inverse * factor
        variance = torch.from_numpy(old_variance) * factor**4 + (0.02 * new) ** 2
        known = (inverse > 0) & (confidence > 0)
        filled, filled_variance = _filled(new, variance, known)
        return _estimate(frame, camera, filled, filled_variance)


def _estimate(
    frame: PreparedFrame, camera: CameraModel, inverse: np.ndarray, variance: np.ndarray
) -> DepthEstimate:
    size = (camera.width, camera.height)
    image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    return DepthEstimate(frame.stamp_ns, camera, inverse, variance, image)


def _map_camera(camera: CameraModel) -> CameraModel:
    return camera.resized((camera.width + 1) // 2, (camera.height + 1) // 2)


def _to_map(flow: Flow, camera: CameraModel) -> tuple[Tensor, Tensor]:
    """Return displacement (in the map's pixels) and confidence at the map's size."""
    height, width = flow.confidence.shape
    size = (camera.width, camera.height)
    scale = np.array([camera.width / width, camera.height / height], np.float32)
    displacement = cv2.resize(flow.displacement, size, interpolation=cv2.INTER_AREA) * scale
    confidence = cv2.resize(flow.confidence, size, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(displacement), torch.from_numpy(confidence)


def _pixels(camera: CameraModel) -> Tensor:
    y, x = torch.meshgrid(
        torch.arange(camera.height, dtype=torch.float32),
        torch.arange(camera.width, dtype=torch.float32),
        indexing='ij',
    )
    return torch.stack([x, y], -1)


def _moved(camera: CameraModel, pixels: Tensor, inverse: Tensor, pose: np.ndarray) -> Tensor:
    """Return points of the target camera times their source inverse depth (finite at infinity)."""
    rotation = torch.from_numpy(pose[:3, :3]).to(inverse)
    translation = torch.from_numpy(pose[:3, 3]).to(inverse)
    return rays(camera, pixels) @ rotation.T + inverse.unsqueeze(-1) * translation


def _triangulate(
    camera: CameraModel,
    prior: Tensor,
    displacement: Tensor,
    confidence: Tensor,
    target_from_source: np.ndarray,
    translation_sigma: float,
) -> _Measurement:
    """Least-squares inverse depth of each pixel from where it went.

    With the target point a + rho t (a the rotated ray) and the measured normalised position u:
    rho (t_x - u_x t_z) = u_x a_z - a_x, and the same for y.
    """
    rotation = torch.from_numpy(target_from_source[:3, :3]).to(prior)
    translation = torch.from_numpy(target_from_source[:3, 3]).to(prior)
    pixels = _pixels(camera)
    a = rays(camera, pixels) @ rotation.T
    u = rays(camera, pixels + displacement)[..., :2]
    focal = torch.tensor([camera.fx, camera.fy])
    slope = (translation[:2] - u * translation[2]) * focal
    offset = (u * a[..., 2:] - a[..., :2]) * focal
    squared = (slope * slope).sum(-1)
    measured = (slope * offset).sum(-1) / squared.clamp_min(1e-12)
    z = (a[..., 2] + prior * translation[2]).clamp_min(0.05)
    # the map's pixels are twice as large as the flow's
    pixel_variance = (0.5 * _FLOW_SIGMA_PX) ** 2 / confidence.clamp_min(0.05)
    relative_pose = translation_sigma**2 / (translation @ translation).clamp_min(1e-12)
    variance = pixel_variance * z * z / squared.clamp_min(1e-12) + relative_pose * measured**2
    across = (slope[..., 0] * offset[..., 1] - slope[..., 1] * offset[..., 0]).abs()
    across = across / (squared.clamp_min(1e-12).sqrt() * z)
    height, width = prior.shape
    target = pixels + displacement
    inside = (target >= 0).all(-1) & (target[..., 0] <= width - 1) & (target[..., 1] <= height - 1)
    good = inside & (confidence > 0) & (squared > 1e-9)
    good &= (across < _GATE_SIGMAS * pixel_variance.sqrt() + 0.5) & torch.isfinite(measured)
    return _Measurement(measured, torch.where(good, variance, torch.full_like(variance, torch.inf)))


def _fuse(prior: Tensor, variance: Tensor, measured: _Measurement) -> tuple[Tensor, Tensor]:
    """Kalman update where prior and measurement agree; elsewhere the prior is believed less."""
    difference = measured.inverse_depth - prior
    total = variance + measured.variance
    heard = torch.isfinite(measured.variance)
    agree = heard & (difference**2 < _GATE_SIGMAS**2 * total)
    gain = torch.where(agree, variance / total, torch.zeros_like(total))
    inverse = prior + gain * torch.where(agree, difference, torch.zeros_like(difference))
    inverse = inverse.clamp(_MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)
    updated = torch.where(agree, (1.0 - gain) * variance, variance)
    updated = torch.where(heard & ~agree, updated * 2.0, updated)
    return inverse, _bounded(inverse, updated)


def _bounded(inverse: Tensor, variance: Tensor) -> Tensor:
    floor = (_MIN_RELATIVE_SIGMA * inverse) ** 2
    ceiling = (_START_SIGMA * inverse.clamp_min(0.1)) ** 2
    return torch.minimum(torch.maximum(variance, floor), torch.maximum(ceiling, floor))


def _filled(inverse: Tensor, variance: Tensor, known: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Fill unknown pixels with the information-weighted mean of their surroundings, hardly known."""
    information = torch.where(known, 1.0 / variance.clamp_min(1e-12), torch.zeros_like(variance))
    information = information.clamp_max(float(information.max()) if bool(known.any()) else 1.0)
    weighted = (information * inverse).numpy()
    total = information.numpy()
    size = (61, 61)
    mean = cv2.blur(weighted, size) / np.maximum(cv2.blur(total, size), 1e-12)
    overall = weighted.sum() / max(float(total.sum()), 1e-12)
    if overall <= 0:
        overall = _START_INVERSE_DEPTH
    mean = np.where(mean > 0, mean, np.float32(overall)).astype(np.float32)
    filled = torch.where(known, inverse, torch.from_numpy(mean))
    filled = filled.clamp(_MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)
    spread = torch.where(known, variance, (_START_SIGMA * filled) ** 2)
    return filled.numpy(), _bounded(filled, spread).numpy()
