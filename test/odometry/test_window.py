# SPDX-License-Identifier: Apache-2.0
"""A sliding window in a room whose matches are true up to noise: it keeps scale and poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence.flow import DenseFlow
from flowcam_ros.correspondence.points import RefinedPoints
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.photometry import Evened
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.odometry import window_matches
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import WindowConfig
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.map_scale import MapScale
from flowcam_ros.odometry.scene_flow import Correspondences
from flowcam_ros.odometry.window import Joined, SlidingWindow

CAMERA = CameraModel(320, 240, 250.0, 250.0, 159.5, 119.5)
ROOM = np.array([3.0, 2.0, 4.0])  # from the middle to the walls, metres
STEP = se3.exp(np.array([0.12, -0.02, 0.06, 0.01, 0.04, -0.02]))
COUNT = 120


def true_pose(number: int) -> np.ndarray:
    start = se3.exp(np.array([-1.0, 0.3, -1.0, 0.1, -0.3, 0.0]))
    return start @ np.linalg.matrix_power(STEP, number)


def true_depth(pixels: np.ndarray, number: int) -> np.ndarray:
    """Return the inverse depth of the walls of the room."""
    pose = true_pose(number)
    ray = rays(CAMERA, torch.from_numpy(pixels).double()).numpy() @ pose[:3, :3].T
    return 1.0 / ((np.sign(ray) * ROOM - pose[:3, 3]) / ray).min(1)


def true_match(pixels: np.ndarray, source: int, target: int) -> np.ndarray:
    pose = se3.inverse(true_pose(target)) @ true_pose(source)
    ray = rays(CAMERA, torch.from_numpy(pixels).double()).numpy()
    there = ray @ pose[:3, :3].T + true_depth(pixels, source)[:, None] * pose[:3, 3]
    return project(CAMERA, torch.from_numpy(there)).numpy()


def inside(pixels: np.ndarray) -> np.ndarray:
    return np.all((pixels >= 8) & (pixels < (312, 232)), axis=1)


def frame(number: int) -> PreparedFrame:
    """Return a picture that shows nothing but its number."""
    image = np.full((240, 320), number, np.uint8)
    prepared = FramePreparer(10**6).prepare(Frame(number, image, CAMERA))
    gain = np.ones((1, 1), np.float32)
    return dataclasses.replace(prepared, even=Evened(image, image, gain))


@dataclass
class Walk:
    """A camera that goes through the room, key frame by key frame."""

    window: SlidingWindow
    keyframe: Keyframe
    measured: bool
    pixel_sigma: float
    generator: np.random.Generator
    joined: list[Joined] = field(default_factory=list)

    def depth_of(self, number: int) -> DepthEstimate:
        """Return dense depth as it is measured."""
        grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).reshape(-1, 2)
        inverse = true_depth(grid, number).reshape(240, 320)
        inverse *= 1.0 + 0.01 * self.generator.normal(size=inverse.shape)
        variance = (0.01 * inverse) ** 2
        image = np.zeros((240, 320), np.uint8)
        return DepthEstimate(
            number, CAMERA, inverse.astype(np.float32), variance.astype(np.float32), image
        )

    def step(self, start_scale: float = 1.0, keep: bool = True) -> Joined:
        """Let the next frame join, from a pose whose way is wrong by a factor."""
        old = self.keyframe
        number = old.frame.stamp_ns + 1
        relative = se3.inverse(true_pose(number - 1)) @ true_pose(number)
        relative[:3, 3] *= start_scale
        alignment = self.alignment(number, se3.inverse(relative))
        depth = self.depth_of(number) if self.measured else None
        pose = old.world_from_camera @ relative
        joined = self.window.join(old, frame(number), depth, alignment, pose)
        if keep:
            self.joined.append(joined)
            self.keyframe = self.made(number, joined.world_from_camera, joined.points)
            self.window.append(self.keyframe, depth)
        return joined

    def alignment(self, number: int, target_from_source: np.ndarray) -> Alignment:
        """Return the fit of the next frame to the newest key frame."""
        points = self.keyframe.points
        target = true_match(points.pixels, number - 1, number)
        target += self.pixel_sigma * self.generator.normal(size=target.shape)
        kept = inside(target)
        ones = torch.ones(np.count_nonzero(kept), dtype=torch.float64)
        matches = Correspondences(
            torch.from_numpy(points.pixels[kept]).double(),
            torch.from_numpy(target[kept]),
            ones * max(self.pixel_sigma, 0.05) ** 2,
            torch.from_numpy(points.inverse_depth[kept]).double(),
            torch.from_numpy(points.variance[kept]).double(),
            0.0 * ones,
            ones,
        )
        return Alignment(
            flow=DenseFlow(lambda: np.zeros((240, 320, 2), np.float32)),
            points=matches,
            kept=kept,
            followed=len(kept),
            matched=len(ones),
            inliers=len(ones),
            target_from_source=target_from_source,
            covariance=1e-10 * np.eye(6),
            explained=np.ones(len(ones), bool),
            translation_sigma=1e-3,
        )

    def made(self, number: int, pose: np.ndarray, followed: PointDepths | None) -> Keyframe:
        """Return a key frame of points that go on and of new ones of hardly known depth."""
        none = np.zeros(0, np.float32)
        old = followed or PointDepths(np.zeros((0, 2), np.float32), none, none)
        if self.measured:
            old = PointDepths(old.pixels[:0], none, none)
        keep = np.flatnonzero(inside(old.pixels))[: COUNT // 2]
        new = self.generator.uniform((8, 8), (311, 231), (COUNT - len(keep), 2))
        guess = true_depth(new, number) * np.exp(0.3 * self.generator.normal(size=len(new)))
        if self.measured:
            guess = true_depth(new, number)
        parts = (
            np.concatenate([old.pixels[keep], new]),
            np.concatenate([old.inverse_depth[keep], guess]),
            np.concatenate([old.variance[keep], (0.3 * guess) ** 2]),
        )
        points = PointDepths(*(part.astype(np.float32) for part in parts))
        texture = np.ones(len(points.variance), np.float32)
        image = np.zeros((240, 320), np.uint8)
        flat = np.full((240, 320), 0.5, np.float32)
        depth = DepthEstimate(number, CAMERA, flat, flat, image)
        scale = MapScale(0.0 if self.measured else 1e-6)
        return Keyframe(frame(number), depth, pose, 1e-8 * np.eye(6), points, texture, scale)


Start = Callable[..., Walk]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return what begins a walk; the pictures' matches are true, with its noise."""

    def begun(
        keyframes: int = 6,
        measured: bool = False,
        pixel_sigma: float = 0.0,
        seed: int = 0,
        reach: int = 99,
    ) -> Walk:
        generator = np.random.default_rng(seed)

        def refine(
            source: np.ndarray,
            target: np.ndarray,
            points: np.ndarray,
            texture: np.ndarray,
            guess: np.ndarray,
            max_inconsistency: float,
        ) -> RefinedPoints:
            first, second = int(source[0, 0]), int(target[0, 0])
            found = true_match(points, first, second)
            # the noise of a pair of pictures, whatever else has been looked for
            noise = np.random.default_rng((seed, first, second)).normal(size=found.shape)
            found += pixel_sigma * noise
            sigma = np.full(len(points), max(pixel_sigma, 0.05), np.float32)
            valid = inside(found) & (second - first <= reach)
            return RefinedPoints(found.astype(np.float32), sigma, valid)

        monkeypatch.setattr(window_matches, 'refine_points', refine)
        config = WindowConfig(keyframes=keyframes, points=COUNT)
        window = SlidingWindow(config, 1.0, torch.device('cpu'))
        walk = Walk(window, None, measured, pixel_sigma, generator)  # type: ignore[arg-type]
        walk.keyframe = walk.made(0, true_pose(0), None)
        window.begin(walk.keyframe, walk.depth_of(0) if measured else None)
        return walk

    return begun


def way(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(second[:3, 3] - first[:3, 3]))


STEP_LENGTH = way(true_pose(0), true_pose(1))


def test_exact_matches_give_the_exact_way(start: Start) -> None:
    walk = start()
    for number in range(1, 6):
        joined = walk.step()
        np.testing.assert_allclose(joined.world_from_camera, true_pose(number), atol=2e-3)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_scale_is_kept_over_twenty_key_frames(start: Start, seed: int) -> None:
    """Though each start is 5 % too long, which would come to a factor of 2.5."""
    walk = start(pixel_sigma=0.1, seed=seed)
    walk.step()
    for _ in range(19):
        walk.step(start_scale=1.05)
    poses = [joined.world_from_camera for joined in walk.joined]
    assert len(walk.window) == 6
    assert way(poses[-3], poses[-1]) == pytest.approx(way(true_pose(18), true_pose(20)), rel=0.06)
    assert way(poses[-1], true_pose(20)) < 0.05 * way(true_pose(0), true_pose(20))


@pytest.mark.parametrize('factor', [0.5, 2.0])
def test_without_measured_depth_the_first_way_defines_the_unit(
    start: Start, factor: float
) -> None:
    walk = start()
    for _ in range(4):
        walk.step(start_scale=factor)
    poses = [joined.world_from_camera for joined in walk.joined]
    for pose, before in zip(poses[1:], poses[:-1], strict=True):
        assert way(before, pose) == pytest.approx(factor * STEP_LENGTH, rel=0.03)


def test_measured_depth_gives_metres_whatever_the_start(start: Start) -> None:
    walk = start(measured=True, pixel_sigma=0.1)
    for number in range(1, 5):
        joined = walk.step(start_scale=1.3)
        assert way(true_pose(0), joined.world_from_camera) == pytest.approx(
            way(true_pose(0), true_pose(number)), rel=0.03
        )
        assert joined.depth_ratio == 1.0


@pytest.mark.parametrize('seed', range(4, 10))
def test_a_key_frame_that_leaves_is_not_forgotten(start: Start, seed: int) -> None:
    """Where none is seen from afar, a short window says nearly what a long one says."""
    results = []
    for keyframes in (3, 8):
        walk = start(keyframes=keyframes, pixel_sigma=0.05, seed=seed, reach=2)
        for _ in range(6):
            joined = walk.step()
        assert len(walk.window) == min(keyframes, 7)
        results.append(joined)
    short, long = results
    sigma = np.sqrt(np.diag(long.covariance))
    np.testing.assert_allclose(np.sqrt(np.diag(short.covariance)) / sigma, 1.0, atol=0.25)
    offset = short.world_from_camera[:3, 3] - long.world_from_camera[:3, 3]
    assert (np.abs(offset) < sigma[:3]).all()


def test_a_frame_that_joins_does_not_stay_unless_it_is_appended(start: Start) -> None:
    walk = start()
    walk.step()
    first = walk.step(keep=False)
    second = walk.step(keep=False)
    assert len(walk.window) == 2
    np.testing.assert_allclose(first.world_from_camera, second.world_from_camera, atol=1e-3)


def test_points_go_on_with_the_depth_they_have_in_the_new_frame(start: Start) -> None:
    walk = start()
    for _ in range(3):
        joined = walk.step()
    points = joined.points
    truth = true_depth(points.pixels, 3)
    assert len(points.pixels) > COUNT
    assert np.median(np.abs(points.inverse_depth / truth - 1.0)) < 0.01
    assert (points.variance > 0).all()
    newest = se3.inverse(joined.world_from_camera) @ walk.joined[-2].world_from_camera
    np.testing.assert_allclose(joined.new_from_old, newest, atol=5e-3)


def test_cleared_it_is_empty(start: Start) -> None:
    walk = start()
    walk.step()
    walk.window.clear()
    assert len(walk.window) == 0
