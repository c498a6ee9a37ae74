# SPDX-License-Identifier: Apache-2.0
"""One frame fitted to one key frame: flow, refined points, scene flow, pose."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.correspondence.points import (
    MODEL_ERROR,
    RefinedPoints,
    refine_points,
    search_points,
)
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import Matrix6, of_solver_inverse
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.expected_flow import expected_flow
from flowcam_ros.odometry.keyframe import Keyframe
from flowcam_ros.odometry.pair_prior import PairPrior
from flowcam_ros.odometry.pose_problem import PoseProblem
from flowcam_ros.odometry.pose_solver import PoseFit, fit_pose, fit_rotation
from flowcam_ros.odometry.robust import SIFTING
from flowcam_ros.odometry.scene_flow import Correspondences, closed_form_pose, lift
from flowcam_ros.odometry.surface import SurfaceMemory, SurfaceTerm
from flowcam_ros.odometry.surface_alignment import SurfaceFit, align_surface

_MIN_FIT_POINTS = 6
# A fit that explains less than this share of the points shows where to look for the others.
_WELL_MATCHED = 0.7
_GUIDED_ROUNDS = 2
# A round that finds less than this much more is the last.
_WORTH_ANOTHER = 1.1
# A fit that leaves this share of the points more unexplained than its start followed outliers.
_PULLED_AWAY = 0.02
# So many points share one error of the model of lens, shutter and view.
_ALIKE = float(__import__('os').environ.get('AL', '10'))
# From rest to a first map is a long way, with depths unknown.
_FIRST_ITERATIONS = 30
# Below this share dense flow has failed, and the points are sought without it.
_HARDLY_MATCHED = 0.3
# Depth images agree on a pose when this share of the surface lies where it should.
_AGREES = 0.95
# Poses whose agreement differs by less are told apart by the points.
_SAME_AGREEMENT = 0.01
# Depth known to this share of itself tells where a point is to be expected.
_KNOWN_DEPTH = 0.15
# Where a rotation leaves less than this, no translation can be told.
_MIN_PARALLAX_PX = 0.5
# Standard deviation of one coordinate from the median length of a 2-D error.
_SIGMA_OF_MEDIAN = 1.0 / 1.1774


@dataclass(frozen=True)
class Alignment:
    """How a frame fits a key frame.

    Attributes:
        displacement: dense flow from the key frame to the frame, pixels.
        points: the matched points with their depths.
        kept: which points of the key frame these are.
        followed: points of the key frame whose flow stayed in the picture.
        matched: points that also came back to where they started and have depth.
        inliers: matched points that the pose explains.
        target_from_source: pose of the key frame in the frame's camera; the start if no fit.
        covariance: (6, 6) of source_from_target in the key frame's axes; None without a fit.
        explained: which of the matched points are inliers; None without a fit.
        translation_sigma: standard deviation of the translation, m.
        residual_px: robust standard deviation of the reprojection residual, pixels.
        condition: condition number of the fit.
        likeness: factor on ``covariance`` because neighbouring points err alike.
        median_flow_px: median displacement of the matched points.
        parallax_px: median displacement that the translation alone explains.
        holds_translation: the translation is an expectation, the pictures do not tell it.
        surface: what the depth images alone say of the pose; None without both.
        agreement: share of the key frame's surface that the frame's depth confirms.
    """

    displacement: Float[np.ndarray, 'height width 2']
    points: Correspondences
    kept: Bool[np.ndarray, ' n']
    followed: int
    matched: int
    inliers: int
    target_from_source: Matrix4
    covariance: Matrix6 | None
    explained: Bool[np.ndarray, ' m'] | None = None
    translation_sigma: float = float('inf')
    residual_px: float = 0.0
    condition: float = float('inf')
    likeness: float = 1.0
    median_flow_px: float = 0.0
    parallax_px: float = 0.0
    holds_translation: bool = False
    surface: PairPrior | None = None
    agreement: float = 0.0

    @property
    def inlier_ratio(self) -> float:
        """Share of the matched points that the pose explains."""
        return self.inliers / self.matched if self.matched else 0.0

    @property
    def agrees(self) -> bool:
        """Whether the depth images lie on each other nearly everywhere."""
        return self.covariance is not None and self.agreement >= _AGREES


@dataclass(frozen=True)
class _Pair:
    """What is fitted to what."""

    keyframe: Keyframe
    frame: PreparedFrame
    target_depth: DepthEstimate | None
    displacement: Float[np.ndarray, 'height width 2']
    surface: SurfaceTerm | None


class Aligner:
    """Fits frames to key frames."""

    def __init__(self, config: OdometryConfig, flow: FlowEstimator, device: torch.device) -> None:
        self._config = config
        self._flow = flow
        self._device = device
        self._surfaces = SurfaceMemory(device)

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
        start = expected_flow(keyframe, starts[0])
        displacement = self._flow.displacement(keyframe.frame.grey, frame.grey, start)
        pixels = keyframe.points.pixels
        at = np.rint(pixels).astype(np.intp)
        guess = pixels + displacement[at[:, 1], at[:, 0]]
        surface = self._surfaces.term(keyframe.depth, target_depth)
        pair = _Pair(keyframe, frame, target_depth, displacement, surface)
        best = self._fit_matches(pair, guess, self._matches_near(pair, guess), starts, seeds)
        best = self._guided(pair, best, guess)
        if best.inliers >= _HARDLY_MATCHED * len(pixels):
            return best
        candidates = [best, *self._on_surface(pair, [starts[-1], best.target_from_source], guess)]
        if not any(candidate.agrees for candidate in candidates):
            candidates += self._searched(pair, starts, seeds, guess)
        return _most_trusted(candidates)

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
            source.frame.grey,
            pair.frame.grey,
            source.points.pixels,
            source.texture,
            self._config.flow.max_inconsistency,
        )
        alone = dataclasses.replace(pair, surface=None)
        matched = self._fit_matches(alone, found.target, found, starts, seeds)
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
            if fit.agreement < max(_AGREES, fits[0].agreement - _SAME_AGREEMENT):
                break
            pose = fit.target_from_source.cpu().numpy()
            near = _expected_pixels(pair.keyframe, pose, guess)
            matched = self._fit_matches(pair, near, self._matches_near(pair, near), [pose], [])
            found += [self._guided(pair, matched, near), _by_depth(matched, fit)]
        return found

    def _matches_near(self, pair: _Pair, guess: Float[np.ndarray, 'n 2']) -> RefinedPoints:
        keyframe = pair.keyframe
        return refine_points(
            keyframe.frame.grey,
            pair.frame.grey,
            keyframe.points.pixels,
            keyframe.texture,
            guess,
            self._config.flow.max_inconsistency,
        )

    def _guided(self, pair: _Pair, best: Alignment, guess: Float[np.ndarray, 'n 2']) -> Alignment:
        """Look for the points that a fit lacks where it expects them, while that finds more."""
        for _ in range(_GUIDED_ROUNDS):
            if best.covariance is None or best.inliers > _WELL_MATCHED * best.followed:
                break
            guess = _expected_pixels(pair.keyframe, best.target_from_source, guess)
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
        keyframe, frame = pair.keyframe, pair.frame
        pixels = keyframe.points.pixels
        inside = (guess >= 0).all(1) & (guess < (frame.camera.width, frame.camera.height)).all(1)
        points, kept = lift(keyframe, matches, pair.target_depth, self._device)
        moved = np.linalg.norm(matches.target - pixels, axis=1)[matches.valid]
        unfitted = Alignment(
            displacement=pair.displacement,
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
        alike = likeness(unfitted.median_flow_px, points.pixel_variance)
        # the fit takes points for independent, so the surface counts more by what they are not
        surface = pair.surface and pair.surface.counted(alike)
        fit = self._fit(points, frame, starts, seeds, surface)
        if not bool(torch.isfinite(fit.target_from_source).all()):
            return unfitted
        return self._fitted(dataclasses.replace(unfitted, likeness=alike), frame, fit)

    def _fit(
        self,
        points: Correspondences,
        frame: PreparedFrame,
        starts: list[Matrix4],
        seeds: list[Vector3],
        surface: SurfaceTerm | None,
    ) -> PoseFit:
        """Fit from the cheapest guess; where seeds are given, also from each of them."""
        camera, iterations = frame.camera, self._config.pose.iterations
        candidates = [torch.from_numpy(s).to(self._device) for s in starts]
        closed = closed_form_pose(points, camera)
        if closed is not None:
            candidates.append(closed)
        problem = PoseProblem(points, camera)
        chosen = [min(candidates, key=problem.misfit)]
        if seeds:
            rotation = fit_rotation(points, camera, starts[0])
            if _unexplained_px(points, frame, rotation) > _MIN_PARALLAX_PX:
                for seed in seeds:
                    pose = se3.from_rotation_translation(rotation, seed)
                    chosen.append(torch.from_numpy(pose).to(self._device))
        if seeds:
            iterations = max(iterations, _FIRST_ITERATIONS)
        fits = [fit_pose(problem, pose, iterations, surface=surface) for pose in chosen]
        scale = min(fit.scale for fit in fits)
        best = min(fits, key=lambda fit: fit.cost(scale))
        if problem.misfit(best.target_from_source) < problem.misfit(chosen[0]) + _PULLED_AWAY:
            return best
        return fit_pose(problem, chosen[0], iterations, SIFTING, surface)

    def _fitted(self, alignment: Alignment, frame: PreparedFrame, fit: PoseFit) -> Alignment:
        """Complete an alignment with what the fit found."""
        points = alignment.points
        error_px = (fit.chi2 * points.pixel_variance).sqrt()
        explained = error_px < self._config.pose.inlier_threshold
        pose = fit.target_from_source.cpu().numpy()
        covariance = fit.covariance.cpu().numpy()
        return dataclasses.replace(
            alignment,
            explained=explained.cpu().numpy(),
            inliers=int(explained.sum()),
            target_from_source=pose,
            covariance=of_solver_inverse(pose, covariance),
            translation_sigma=float(np.sqrt(np.trace(covariance[:3, :3]) / 3.0)),
            residual_px=float(_SIGMA_OF_MEDIAN * error_px.median()),
            condition=fit.condition,
            parallax_px=_parallax(points, frame, fit),
            surface=_pair_prior(fit, alignment.likeness),
            agreement=fit.surface.agreement if fit.surface else 0.0,
        )


def _most_trusted(candidates: list[Alignment]) -> Alignment:
    """Return the alignment that explains most points of those that explain the depth best."""
    agreement = max(a.agreement for a in candidates)
    if agreement < _AGREES:
        return max(candidates, key=lambda a: a.inliers)
    near = [a for a in candidates if a.agreement > agreement - _SAME_AGREEMENT]
    return max(near, key=lambda a: a.inliers)


def _pair_prior(fit: PoseFit, count: float) -> PairPrior | None:
    if fit.surface is None:
        return None
    hessian, gradient = fit.surface.belief()
    return PairPrior(fit.target_from_source, hessian / count, gradient / count)


def _by_depth(alignment: Alignment, fit: SurfaceFit) -> Alignment:
    """Return an alignment with the pose of the depth images: no point says more."""
    pose = fit.target_from_source.cpu().numpy()
    covariance = fit.covariance.cpu().numpy()
    none = np.zeros(len(alignment.points), bool)
    return dataclasses.replace(
        alignment,
        inliers=0,
        explained=none,
        target_from_source=pose,
        covariance=of_solver_inverse(pose, covariance),
        translation_sigma=float(np.sqrt(np.trace(covariance[:3, :3]) / 3.0)),
        residual_px=0.0,
        condition=fit.condition,
        likeness=1.0,
        surface=PairPrior(fit.target_from_source, fit.hessian, torch.zeros_like(fit.hessian[0])),
        agreement=fit.agreement,
    )


def likeness(flow_px: float, pixel_variance: Tensor) -> float:
    """Return the factor that a covariance of independent points has to grow by.

    What lens, shutter and changing views add to flow is smooth over the picture: many points
    share one error, which does not average out.
    """
    share = (MODEL_ERROR * flow_px) ** 2 / float(pixel_variance.median())
    return 1.0 + _ALIKE * min(share, 1.0)


def _expected_pixels(
    keyframe: Keyframe, target_from_source: Matrix4, guess: Float[np.ndarray, 'n 2']
) -> Float[np.ndarray, 'n 2']:
    """Return where a pose puts the key frame's points; ``guess`` where depth is hardly known."""
    camera, points = keyframe.frame.camera, keyframe.points
    pose = torch.from_numpy(target_from_source)
    source = torch.from_numpy(points.pixels).double()
    inverse = torch.from_numpy(points.inverse_depth).double()
    moved = rays(camera, source) @ pose[:3, :3].T + inverse.unsqueeze(-1) * pose[:3, 3]
    pixels = project(camera, moved).numpy().astype(np.float32)
    known = points.variance < (_KNOWN_DEPTH * points.inverse_depth) ** 2
    known &= (moved[:, 2] > 0.05).numpy()
    return np.where(known[:, None], pixels, guess)


def _unexplained_px(
    points: Correspondences, frame: PreparedFrame, rotation: Float[np.ndarray, '3 3']
) -> float:
    """Return the median distance between matches and where a rotation alone puts the points."""
    turned = rays(frame.camera, points.source) @ torch.from_numpy(rotation).to(points.source).T
    return float((project(frame.camera, turned) - points.target).norm(dim=-1).median())


def _parallax(points: Correspondences, frame: PreparedFrame, fit: PoseFit) -> float:
    """Return how far from where rotation alone puts them the points are, median pixels."""
    pose = fit.target_from_source
    rotated = rays(frame.camera, points.source) @ pose[:3, :3].T
    moved = rotated + fit.inverse_depth.unsqueeze(-1) * pose[:3, 3]
    gap = moved[:, :2] / moved[:, 2:] - rotated[:, :2] / rotated[:, 2:]
    return float(gap.norm(dim=-1).median()) * frame.camera.fx
