# SPDX-License-Identifier: Apache-2.0
"""Depth from motion: a Gaussian filter on the inverse depth of every pixel of the key frame.

Each frame's flow and pose triangulate the key frame's pixels; the result is fused by inverse
variance and carried to the next key frame (after Engel, Sturm, Cremers 2013, with dense flow in
place of epipolar search). The map has half the working size: DIS resolves no more.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.correspondence.flow import Flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.triangulation import Triangulation, triangulate

# The scale of a single camera is free: the first key frame's inverse depth is 1 per unit.
_START_INVERSE_DEPTH = 1.0
_START_SIGMA = 0.6
_MIN_INVERSE_DEPTH = 1e-3
_MAX_INVERSE_DEPTH = 30.0
# Error of dense flow where it is consistent. Errors of neighbouring frames are correlated (same
# key frame, same texture), so this is larger than the error of a single match.
_FLOW_SIGMA_PX = 0.7
_MIN_RELATIVE_SIGMA = 0.005
# Errors of frame after frame are alike: no more than this many average out.
_MOST_AVERAGED = 4.0
_GATE_SIGMAS = 3.0
_MODEL_ERROR_PX = 0.5
# Looking a depth up along the flow of another pair of images blurs it.
_CARRY_SIGMA = 0.02


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
        source = _pixels(estimate.camera)
        target = source + displacement
        # the map's pixels are twice as large as the flow's
        pixel_variance = (0.5 * _FLOW_SIGMA_PX) ** 2 / confidence.clamp_min(0.05)
        pose = torch.from_numpy(target_from_source).to(prior)
        seen = triangulate(
            estimate.camera,
            source,
            target,
            pixel_variance,
            prior,
            pose,
            translation_sigma,
        )
        size = torch.tensor([estimate.camera.width - 1, estimate.camera.height - 1])
        heard = (confidence > 0) & (target >= 0).all(-1) & (target <= size).all(-1)
        inverse, fused = fuse(prior, variance, seen, pixel_variance, heard)
        return DepthEstimate(
            estimate.stamp_ns,
            estimate.camera,
            inverse.numpy(),
            fused.numpy(),
            estimate.image,
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
        z = _moved(camera, pixels, inverse, new_from_old)[..., 2]
        new, variance = carried(inverse, torch.from_numpy(old_variance), z)
        variance = variance + (_CARRY_SIGMA * new) ** 2
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


def fuse(
    prior: Float[Tensor, '*n'],
    variance: Float[Tensor, '*n'],
    seen: Triangulation,
    pixel_variance: Float[Tensor, '*n'],
    heard: Bool[Tensor, '*n'],
) -> tuple[Float[Tensor, '*n'], Float[Tensor, '*n']]:
    """Return inverse depths and variances after one Kalman step.

    Where a measurement lies off its epipolar line, the flow is wrong or the point moves: nothing
    is learnt. Where it contradicts the prior, the prior is kept and believed less.

    Args:
        prior: inverse depth so far.
        variance: of the prior.
        seen: what one frame says.
        pixel_variance: variance of the flow that it was seen with, pixels^2.
        heard: where there is a measurement at all.
    """
    limit = _GATE_SIGMAS * pixel_variance.sqrt() + _MODEL_ERROR_PX
    heard = heard & (seen.across_px < limit) & torch.isfinite(seen.inverse_depth)
    difference = torch.where(heard, seen.inverse_depth - prior, torch.zeros_like(prior))
    total = variance + seen.variance
    agrees = heard & (difference**2 < _GATE_SIGMAS**2 * total)
    gain = torch.where(agrees, variance / total, torch.zeros_like(total))
    inverse = (prior + gain * difference).clamp(_MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)
    updated = torch.where(agrees, (1.0 - gain) * variance, variance)
    updated = torch.maximum(updated, torch.minimum(variance, seen.variance / _MOST_AVERAGED))
    updated = torch.where(heard & ~agrees, updated * 2.0, updated)
    return inverse, _bounded(inverse, updated)


def carried(
    inverse: Float[Tensor, '*n'], variance: Float[Tensor, '*n'], z: Float[Tensor, '*n']
) -> tuple[Float[Tensor, '*n'], Float[Tensor, '*n']]:
    """Return inverse depths seen from another place; ``z`` is the new depth over the old one."""
    z = z.clamp_min(0.05)
    new = (inverse / z).clamp(_MIN_INVERSE_DEPTH, _MAX_INVERSE_DEPTH)
    return new, _bounded(new, variance / z**4)


def _bounded(inverse: Tensor, variance: Tensor) -> Tensor:
    floor = (_MIN_RELATIVE_SIGMA * inverse) ** 2
    ceiling = (_START_SIGMA * inverse.clamp_min(0.1)) ** 2
    return torch.minimum(torch.maximum(variance, floor), torch.maximum(ceiling, floor))


def _filled(inverse: Tensor, variance: Tensor, known: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Fill unknown pixels with the weighted mean of their surroundings, hardly known."""
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
