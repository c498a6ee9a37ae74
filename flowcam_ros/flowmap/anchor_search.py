# SPDX-License-Identifier: Apache-2.0
"""Looks in a frame for the points that anchors see: near a guess, from coarse to fine, by flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.dis import DisFlow
from flowcam_ros.correspondence.points import (
    RefinedPoints,
    cell_size,
    refine_points,
    search_points,
    texture_map,
)
from flowcam_ros.flowmap.anchors import Anchor
from flowcam_ros.flowmap.resection import FoundPoints
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project, undistort
from flowcam_ros.geometry.photometry import Evened, even_out
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, inverse

# Points of one anchor that are looked for: more make a pose no surer, but slower.
_POINTS = 400
_MAX_INCONSISTENCY_PX = 1.0
_ELSEWHERE = -1e4


@dataclass(frozen=True)
class SoughtPoints:
    """An anchor whose points can be looked for.

    Attributes:
        even: its tracking picture with the light evened out.
        points: (n, 3) in the world, spread over the picture.
        pixels: (n, 2) in the picture.
        texture: (n,) at the pixels, of the evened picture.
        sigma: (n,) of a coordinate of the observations, pixels.
    """

    even: Evened
    points: Float[np.ndarray, 'n 3']
    pixels: Float[np.ndarray, 'n 2']
    texture: Float[np.ndarray, ' n']
    sigma: Float[np.ndarray, ' n']


def sought_points(anchor: Anchor) -> SoughtPoints:
    """Return the best textured points of an anchor, spread over its picture."""
    even = even_out(anchor.grey)
    texture = texture_map(anchor.grey)
    if anchor.usable is not None:
        texture = np.where(anchor.usable, texture, np.float32(0.0))
    height, width = anchor.grey.shape
    at = np.rint(anchor.pixels).astype(np.intp)
    strength = texture[at[:, 1], at[:, 0]] * even.gain_at(anchor.pixels) ** 2
    keep = _spread(anchor.pixels, strength, cell_size(height, width, _POINTS))
    return SoughtPoints(
        even, anchor.points[keep], anchor.pixels[keep], strength[keep], anchor.sigma[keep]
    )


class AnchorSearch:
    """Finds the points of anchors in frames.

    Args:
        camera: of the tracking pictures, with the distortion that was found in them.
    """

    def __init__(self, camera: CameraModel) -> None:
        self._camera = camera
        self._flow = DisFlow(FlowConfig(preset='medium'))

    def near(self, sought: list[SoughtPoints], frame: PreparedFrame, pose: Matrix4) -> FoundPoints:
        """Look for the points where a pose (world_from_camera) puts them."""
        guesses = [self._seen_from(pose, one.points) for one in sought]
        return self._refined(sought, frame, guesses)

    def coarse_to_fine(self, sought: list[SoughtPoints], frame: PreparedFrame) -> FoundPoints:
        """Look for the points each by itself, wherever it may be."""
        parts = []
        for one in sought:
            matches = search_points(
                one.even.broad, frame.even.broad, one.pixels, one.texture, _MAX_INCONSISTENCY_PX
            )
            parts.append(self._usable(one, matches, frame))
        return _joined(parts)

    def along_flow(self, sought: list[SoughtPoints], frame: PreparedFrame) -> FoundPoints:
        """Look for the points where dense flow carries them: that sees larger structure."""
        guesses = []
        for one in sought:
            flow = self._flow.displacement(one.even.broad, frame.even.broad)
            x, y = np.rint(one.pixels).astype(np.intp).T
            guesses.append(one.pixels + flow[y, x])
        return self._refined(sought, frame, guesses)

    def _refined(
        self,
        sought: list[SoughtPoints],
        frame: PreparedFrame,
        guesses: list[Float[np.ndarray, '_ 2']],
    ) -> FoundPoints:
        parts = []
        for one, guess in zip(sought, guesses, strict=True):
            matches = refine_points(
                one.even.fine,
                frame.even.fine,
                one.pixels,
                one.texture,
                guess,
                _MAX_INCONSISTENCY_PX,
            )
            parts.append(self._usable(one, matches, frame))
        return _joined(parts)

    def _seen_from(
        self, pose: Matrix4, points: Float[np.ndarray, 'n 3']
    ) -> Float[np.ndarray, 'n 2']:
        camera_from_world = inverse(pose)
        local = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        pixels = project(self._camera, local)
        ahead = (local[:, 2] > 0) & np.isfinite(pixels).all(1)
        return np.where(ahead[:, None], pixels, _ELSEWHERE).astype(np.float32)

    def _usable(
        self, sought: SoughtPoints, matches: RefinedPoints, frame: PreparedFrame
    ) -> FoundPoints:
        valid = matches.valid.copy()
        height, width = frame.grey.shape
        if frame.usable is not None:
            at = np.rint(np.clip(matches.target, 0, (width - 1, height - 1))).astype(np.intp)
            valid &= frame.usable[at[:, 1], at[:, 0]]
        pixels = _without_distortion(self._camera, matches.target.astype(np.float64))
        valid &= np.isfinite(pixels).all(1)
        variance = np.square(matches.sigma) + np.square(sought.sigma)
        return FoundPoints(sought.points[valid], pixels[valid], variance[valid].astype(np.float64))


def _joined(parts: list[FoundPoints]) -> FoundPoints:
    return FoundPoints(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.variance for part in parts]),
    )


def _without_distortion(
    camera: CameraModel, pixels: Float[np.ndarray, 'n 2']
) -> Float[np.ndarray, 'n 2']:
    if not camera.is_distorted:
        return pixels
    focal, centre = (camera.fx, camera.fy), (camera.cx, camera.cy)
    return undistort(camera, (pixels - centre) / focal) * focal + centre


def _spread(
    pixels: Float[np.ndarray, 'n 2'], strength: Float[np.ndarray, ' n'], cell: int
) -> Int[np.ndarray, ' k']:
    """Return the indices of the best textured point of each cell of a grid."""
    order = np.argsort(-strength, kind='stable')
    order = order[strength[order] > 0]
    cells = (pixels[order] // cell).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return order[first]
