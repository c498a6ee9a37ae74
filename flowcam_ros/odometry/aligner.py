# SPDX-License-Identifier: Apache-2.0
"""One frame fitted to one key frame: flow, refined points, scene flow, surface, pose."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcam_ros.correspondence.flow import DenseFlow, FlowEstimator
from flowcam_ros.correspondence.points import (
    RefinedPoints,
    refine_points,
    search_points,
)
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.alignment import (
    AGREES,
    SAME_AGREEMENT,
    Alignment,
    by_depth,
    fitted,
    likeness,
    most_trusted,
    overlap,
)
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.expected_flow import expected_flow
from flowcam_ros.odometry.expected_points import (
    expected_pixels,
    known_pixels,
    on_usable,
    surprise,
    textured,
)
from flowcam_ros.odometry.keyframe import Keyframe
from flowcam_ros.odometry.multi_start import fit_first, fit_from_best
from flowcam_ros.odometry.scene_flow import lift, without_guesses
from flowcam_ros.odometry.surface import SurfaceMemory, SurfaceTerm
from flowcam_ros.odometry.surface_alignment import align_surface

_MIN_FIT_POINTS = 6
# Where the expected motion finds this share of the points, dense flow would find no more.
_AS_EXPECTED = 0.6
# Farther from there, Lucas-Kanade alone would not find them.
_MAX_SURPRISE_PX = 4.0
# A fit that explains less than this share of the points shows where to look for the others.
_WELL_MATCHED = 0.5
_GUIDED_ROUNDS = 2
# A round that finds less than this much more is the last.
_WORTH_ANOTHER = 1.1
# Below this share dense flow has failed, and the points are sought without it.
_HARDLY_MATCHED = 0.3
# Where fewer than this share of the points are matched, noise may have been matched with noise.
_FEW = 0.25


@dataclass(frozen=True)
class _Pair:
    """What is fitted to what."""

    keyframe: Keyframe
    frame: PreparedFrame
    target_depth: DepthEstimate | None
    flow: DenseFlow
    surface: SurfaceTerm | None


class Aligner:
    """Fits frames to key frames."""

    def __init__(self, config: OdometryConfig, flow: FlowEstimator, device: torch.device) -> None:
        self._config = config
        self._flow = flow
        self._device = device
        self.forget()

    def reconfigure(self, config: OdometryConfig) -> None:
        """Take over changed options that are declared dynamic."""
        self._config = config

    def forget(self) -> None:
        """Forget what was seen so far."""
        self._surfaces = SurfaceMemory(self._device)
        # how far from where they were expected the points were found last
        self._surprise_px = 0.0

    def align(
        self,
        keyframe: Keyframe,
        frame: PreparedFrame,
        target_depth: DepthEstimate | None,
        starts: list[Matrix4],
        seeds: list[Vector3],
    ) -> Alignment:
        """Fit a frame to a key frame.

        Args:
            keyframe: the source.
            frame: the target, of the same camera.
            target_depth: measured depth of the frame, if any.
            starts: first guesses of target_from_source, the most trusted first.
            seeds: translations to try besides, where the frames before tell nothing of it.
        """
        surface = self._surfaces.term(keyframe.depth, target_depth)
        flow = DenseFlow(lambda: self._dense(keyframe, frame, starts[0]))
        pair = _Pair(keyframe, frame, target_depth, flow, surface)
        guess = expected_pixels(keyframe, starts[0])
        if not seeds and self._surprise_px < _MAX_SURPRISE_PX:
            matches = self._matches_near(pair, guess)
            expected = self._fit_matches(pair, guess, matches, starts, [])
            if expected.inliers > _AS_EXPECTED * expected.followed:
                return expected
        found = self._along_flow(pair, starts, seeds)
        self._surprise_px = surprise(guess, found)
        return found

    def _dense(
        self, keyframe: Keyframe, frame: PreparedFrame, start: Matrix4
    ) -> Float[np.ndarray, 'height width 2']:
        first = expected_flow(keyframe, start)
        return self._flow.displacement(keyframe.frame.even.broad, frame.even.broad, first)

    def _along_flow(self, pair: _Pair, starts: list[Matrix4], seeds: list[Vector3]) -> Alignment:
        """Look for the points where dense flow carries them, and then farther and farther."""
        pixels = pair.keyframe.points.pixels
        at = np.rint(pixels).astype(np.intp)
        guess = pixels + pair.flow.displacement[at[:, 1], at[:, 0]]
        best = self._fit_matches(pair, guess, self._matches_near(pair, guess), starts, seeds)
        best = self._guided(pair, best, guess)
        if best.inliers >= _HARDLY_MATCHED * len(pixels):
            return best
        candidates = [best, *self._on_surface(pair, [starts[-1], best.target_from_source], guess)]
        if not any(candidate.agrees for candidate in candidates):
            candidates += self._searched(pair, starts, seeds, guess)
        return most_trusted(candidates)

    def _searched(
        self,
        pair: _Pair,
        starts: list[Matrix4],
        seeds: list[Vector3],
        guess: Float[np.ndarray, 'n 2'],
    ) -> list[Alignment]:
        """Look for the points without dense flow; the surface, not found so far, may be wrong."""
        source = pair.keyframe
        found = search_points(
            source.frame.even.broad,
            pair.frame.even.broad,
            source.points.pixels,
            source.texture,
            self._config.flow.max_inconsistency,
        )
        near = self._matches_near(pair, found.target)
        matches = dataclasses.replace(near, valid=near.valid & found.valid)
        alone = dataclasses.replace(pair, surface=None)
        matched = self._fit_matches(alone, found.target, matches, starts, seeds)
        matched = self._guided(alone, matched, guess)
        return [matched, *self._on_surface(pair, [matched.target_from_source], guess)]

    def _on_surface(
        self, pair: _Pair, starts: list[Matrix4], guess: Float[np.ndarray, 'n 2']
    ) -> list[Alignment]:
        """Align the depth images, and look for the points where that puts them."""
        if pair.surface is None:
            return []
        first = torch.from_numpy(np.stack(starts)).to(self._device)
        found: list[Alignment] = []
        fits = align_surface(pair.surface, first)
        for fit in fits:
            if fit.agreement < max(AGREES, fits[0].agreement - SAME_AGREEMENT):
                break
            pose = fit.target_from_source.cpu().numpy()
            near = known_pixels(pair.keyframe, pose, guess)
            matched = self._fit_matches(pair, near, self._matches_near(pair, near), [pose], [])
            found += [self._guided(pair, matched, near), by_depth(matched, fit)]
        return found

    def _matches_near(self, pair: _Pair, guess: Float[np.ndarray, 'n 2']) -> RefinedPoints:
        keyframe = pair.keyframe
        matches = refine_points(
            keyframe.frame.even.fine,
            pair.frame.even.fine,
            keyframe.points.pixels,
            keyframe.texture,
            guess,
            self._config.flow.max_inconsistency,
        )
        return on_usable(matches, pair.frame)

    def _guided(self, pair: _Pair, best: Alignment, guess: Float[np.ndarray, 'n 2']) -> Alignment:
        """Look for the points that a fit lacks where it expects them, while that finds more."""
        for _ in range(_GUIDED_ROUNDS):
            if best.covariance is None or best.inliers > _WELL_MATCHED * best.followed:
                break
            guess = known_pixels(pair.keyframe, best.target_from_source, guess)
            pose = [best.target_from_source]
            again = self._fit_matches(pair, guess, self._matches_near(pair, guess), pose, [])
            enough = again.inliers < _WORTH_ANOTHER * best.inliers
            best = max(best, again, key=lambda a: a.inliers)
            if enough:
                break
        return best

    def _fit_matches(
        self,
        pair: _Pair,
        guess: Float[np.ndarray, 'n 2'],
        matches: RefinedPoints,
        starts: list[Matrix4],
        seeds: list[Vector3],
    ) -> Alignment:
        """Fit the pose to matches that were sought near ``guess``."""
        keyframe, camera = pair.keyframe, pair.frame.camera
        pixels = keyframe.points.pixels
        if np.count_nonzero(matches.valid) < _FEW * len(pixels):
            matches = textured(matches, pair.frame)
        inside = (guess >= 0).all(1) & (guess < (camera.width, camera.height)).all(1)
        points, kept = lift(keyframe, matches, pair.target_depth, self._device)
        moved = np.linalg.norm(matches.target - pixels, axis=1)[matches.valid]
        unfitted = Alignment(
            flow=pair.flow,
            points=points,
            kept=kept,
            followed=int(np.count_nonzero(inside)),
            matched=len(points),
            inliers=0,
            target_from_source=starts[0],
            covariance=None,
            median_flow_px=float(np.median(moved)) if len(moved) else 0.0,
        )
        if len(points) < _MIN_FIT_POINTS:
            return unfitted
        unfitted = dataclasses.replace(
            unfitted,
            likeness=likeness(unfitted.median_flow_px, points.pixel_variance),
            overlap=overlap(len(points), camera),
        )
        pose = self._config.pose
        if seeds:
            fit = fit_first(points, camera, starts, seeds, pose.iterations)
        else:
            # the fit takes points for independent: the surface counts more by what they are not
            surface = pair.surface and pair.surface.counted(unfitted.likeness)
            fit = fit_from_best(points, camera, starts, pose.iterations, surface)
        if not bool(torch.isfinite(fit.target_from_source).all()):
            return unfitted
        before = _variance_before(keyframe, kept)
        variance_before = None if before is None else torch.from_numpy(before).to(fit.chi2)
        return fitted(unfitted, camera, fit, pose.inlier_threshold, variance_before)


def _variance_before(
    keyframe: Keyframe, kept: Bool[np.ndarray, ' n']
) -> Float[np.ndarray, ' m'] | None:
    before = keyframe.variance_before
    if before is None:
        return None
    return without_guesses(keyframe.points.inverse_depth[kept], before[kept])
