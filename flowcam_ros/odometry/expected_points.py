# SPDX-License-Identifier: Apache-2.0
"""Where the points of a key frame are to be expected in a frame, and how matches compare."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcam_ros.correspondence.points import RefinedPoints, texture_map
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import rays
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.keyframe import Keyframe
from flowcam_ros.odometry.reprojection import reproject

# Depth known to this share of itself tells where a point is to be expected.
_KNOWN_DEPTH = 0.15
# Far outside of any picture.
_ELSEWHERE = -1e6


def textured(matches: RefinedPoints, frame: PreparedFrame) -> RefinedPoints:
    """Return the matches without those of noise: where the frame has no texture."""
    return _kept(matches, texture_map(frame.grey) > 0)


def on_usable(matches: RefinedPoints, frame: PreparedFrame) -> RefinedPoints:
    """Return the matches without those where the frame's pixels do not show the world."""
    return matches if frame.usable is None else _kept(matches, frame.usable)


def _kept(matches: RefinedPoints, good: Bool[np.ndarray, 'height width']) -> RefinedPoints:
    height, width = good.shape
    at = np.rint(np.clip(matches.target, 0, (width - 1, height - 1))).astype(np.intp)
    return dataclasses.replace(matches, valid=matches.valid & good[at[:, 1], at[:, 0]])


def expected_pixels(keyframe: Keyframe, target_from_source: Matrix4) -> Float[np.ndarray, 'n 2']:
    """Return where a pose puts the key frame's points; beyond the picture where behind it."""
    points = keyframe.points
    there = reproject(
        keyframe.frame.camera,
        rays(keyframe.frame.camera, torch.from_numpy(points.pixels).double()).mT,
        torch.from_numpy(points.inverse_depth).double(),
        torch.from_numpy(target_from_source),
    )
    pixels = torch.where(there.ahead, there.predicted[:2], _ELSEWHERE)
    return pixels.mT.contiguous().float().numpy()


def surprise(guess: Float[np.ndarray, 'n 2'], alignment: Alignment) -> float:
    """Return how far from a guess the points were found, median pixels."""
    if not alignment.matched:
        return float('inf')
    found = alignment.points.target.cpu().numpy()
    return float(np.median(np.linalg.norm(found - guess[alignment.kept], axis=1)))


def known_pixels(
    keyframe: Keyframe, target_from_source: Matrix4, guess: Float[np.ndarray, 'n 2']
) -> Float[np.ndarray, 'n 2']:
    """Return where a pose puts the key frame's points; ``guess`` where depth is hardly known."""
    points = keyframe.points
    pixels = expected_pixels(keyframe, target_from_source)
    known = points.variance < (_KNOWN_DEPTH * points.inverse_depth) ** 2
    known &= pixels[:, 0] > _ELSEWHERE
    return np.where(known[:, None], pixels, guess)
