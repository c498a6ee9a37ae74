# SPDX-License-Identifier: Apache-2.0
"""A smooth relief seen by a few cameras: every depth, match and track of it is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from flowcam_ros.correspondence.pairs import PairMatches
from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.lens import Lens
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.geometry.se3 import exp, inverse

WIDTH, HEIGHT = 320, 240
_INSIDE = 2.0  # pixels from the rim


def lens(focal: float = 300.0, k1: float = 0.0, k2: float = 0.0, aspect: float = 1.0) -> Lens:
    """Return a lens with its centre in the middle of the picture."""
    numbers = [focal, 0.5 * (WIDTH - 1), 0.5 * (HEIGHT - 1), k1, k2]
    return Lens(torch.tensor(numbers, dtype=torch.float64), aspect)


def walk(frames: int) -> np.ndarray:
    """Return world_from_camera of a walk along the relief; the first one is the world."""
    k = np.arange(frames)
    shift = [0.3 * k, 0.12 * np.sin(k), 0.1 * np.sin(0.7 * k)]
    angle = [0.03 * np.sin(1.3 * k), -0.06 * k, 0.05 * np.sin(0.9 * k)]
    return np.stack([exp(twist) for twist in np.stack([*shift, *angle], -1)])


def turn(frames: int) -> np.ndarray:
    """Return the same without moving from the place."""
    poses = walk(frames)
    poses[:, :3, 3] = 0.0
    return poses


@dataclass(frozen=True)
class ExactViews:
    """Cameras with one lens before a relief, or before a plane (``bumps`` 0).

    Attributes:
        poses: (f, 4, 4) world_from_camera.
        lens: of all.
        bumps: factor on the height of the relief.
    """

    poses: np.ndarray
    lens: Lens
    bumps: float = 1.0

    def world(self, frame: int, pixels: np.ndarray) -> np.ndarray:
        """Return the point of the relief that each pixel shows."""
        rays = self.lens.rays(torch.from_numpy(np.asarray(pixels, np.float64))).numpy()
        pose = self.poses[frame]
        rays, start = rays @ pose[:3, :3].T, pose[:3, 3]
        away = np.full(len(rays), 4.0)
        for _ in range(20):
            at = start + away[:, None] * rays
            height, slope = self._relief(at)
            gap = at[:, 2] - height
            away = away - gap / (rays[:, 2] - (slope * rays[:, :2]).sum(-1))
        return start + away[:, None] * rays

    def depth(self, frame: int, pixels: np.ndarray) -> np.ndarray:
        """Return z of what each pixel shows."""
        return self._local(frame, self.world(frame, pixels))[:, 2]

    def seen(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixel of each point, and whether the picture shows it."""
        local = self._local(frame, points)
        pixels = self.lens.project(torch.from_numpy(local)).numpy()
        inside = (pixels > _INSIDE) & (pixels < (WIDTH - 1 - _INSIDE, HEIGHT - 1 - _INSIDE))
        return pixels, inside.all(-1) & (local[:, 2] > 0.1)

    def points(self, count: int, seed: int = 0) -> np.ndarray:
        """Return points of the relief, spread over what the frames show."""
        random = np.random.default_rng(seed)
        frame = random.integers(0, len(self.poses), count)
        pixels = random.uniform((5, 5), (WIDTH - 6, HEIGHT - 6), (count, 2))
        points = np.zeros((count, 3))
        for k in range(len(self.poses)):
            points[frame == k] = self.world(k, pixels[frame == k])
        return points

    def tracks(self, points: np.ndarray, noise_px: float = 0.0, seed: int = 0) -> Tracks:
        """Return where all frames see the points that at least two of them see."""
        random = np.random.default_rng(seed)
        found = [self.seen(k, points) for k in range(len(self.poses))]
        shown = np.stack([inside for _, inside in found], -1)
        shown[shown.sum(-1) < 2] = False
        point, frame = np.nonzero(shown)
        pixels = np.stack([p for p, _ in found])[frame, point]
        pixels = pixels + noise_px * random.normal(size=pixels.shape)
        point = np.unique(point, return_inverse=True)[1]
        sigma = np.full(len(point), 0.4, np.float32)
        return Tracks(point.astype(np.int64), frame, pixels.astype(np.float32), sigma)

    def pair(self, first: int, second: int, count: int = 300, seed: int = 0) -> PairMatches:
        """Return exact matches of two frames."""
        random = np.random.default_rng(seed)
        source = random.uniform((5, 5), (WIDTH - 6, HEIGHT - 6), (4 * count, 2))
        source = source.astype(np.float32)
        target, inside = self.seen(second, self.world(first, source))
        kept = np.flatnonzero(inside)[:count]
        index = np.stack([kept, kept], -1).astype(np.int32)
        return PairMatches(
            first, second, index, source[kept], target[kept].astype(np.float32), 0.2
        )

    def pairs(self, reach: int = 2, count: int = 300) -> list[PairMatches]:
        """Return the matches of all frames up to ``reach`` apart."""
        frames = len(self.poses)
        ends = [(i, i + s) for i in range(frames) for s in range(1, reach + 1) if i + s < frames]
        return [self.pair(i, j, count, seed=i * frames + j) for i, j in ends]

    def maps(self, width: int = WIDTH, height: int = HEIGHT, scale: float = 1.0) -> Maps:
        """Return the exact depth of all frames times a factor, without features."""
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        at = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * (WIDTH / width, HEIGHT / height) - 0.5
        depth = np.stack([self.depth(k, at) for k in range(len(self.poses))]) * scale
        log_inverse = torch.from_numpy(-np.log(depth)).float().reshape(-1, height, width)
        return Maps(log_inverse, torch.zeros(len(depth), 1, 1, 0), WIDTH, HEIGHT)

    def _local(self, frame: int, points: np.ndarray) -> np.ndarray:
        camera_from_world = inverse(self.poses[frame])
        return points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]

    def _relief(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = at[:, 0], at[:, 1]
        height = 4.0 + self.bumps * (0.4 * np.sin(1.3 * x + 0.4) + 0.3 * np.cos(1.7 * y))
        slope = np.stack([0.52 * np.cos(1.3 * x + 0.4), -0.51 * np.sin(1.7 * y)], -1)
        return height, self.bumps * slope


def aligned(found: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Return poses laid over the truth at the first camera and by length, and the factor."""
    moved = truth[0] @ inverse(found[0]) @ found
    one, other = (p[:, :3, 3] - truth[0, :3, 3] for p in (moved, truth))
    factor = float((one * other).sum() / (one * one).sum())
    moved[:, :3, 3] = truth[0, :3, 3] + factor * one
    return moved, factor


def pose_errors(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the largest error of a position, as a share of the path, and angle in degrees."""
    away = np.linalg.norm(found[:, :3, 3] - truth[:, :3, 3], axis=-1).max()
    cosine = np.einsum('fij,fij->f', found[:, :3, :3], truth[:, :3, :3])
    angle = np.degrees(np.arccos(np.clip((cosine - 1.0) / 2.0, -1.0, 1.0))).max()
    length = np.ptp(truth[:, :3, 3], axis=0).max()
    return float(away / max(length, 1e-9)), float(angle)
