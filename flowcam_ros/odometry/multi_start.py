# SPDX-License-Identifier: Apache-2.0
"""A pose fitted from the best of several guesses."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.pose_problem import PoseProblem
from flowcam_ros.odometry.pose_solver import PoseFit, fit_pose, fit_rotation
from flowcam_ros.odometry.robust import SIFTING
from flowcam_ros.odometry.scene_flow import Correspondences, closed_form_pose
from flowcam_ros.odometry.surface import SurfaceTerm

# Where a rotation leaves less than this, no translation can be told.
_MIN_UNEXPLAINED_PX = 0.5
# From rest to a first map is a long way, with depths unknown.
_FIRST_ITERATIONS = 30
# A fit that leaves this share of the points more unexplained than its start followed outliers.
_PULLED_AWAY = 0.02
# Without measured depth a fit can fall the wrong way: one that brings less than this share of the
# points so near may have, and one whose errors are so many times what their variances say.
_NEAR_PX, _SOUND = 2.0, 0.88
_SOUND_SCALE = 2.0


def fit_from_best(
    points: Correspondences,
    camera: CameraModel,
    starts: list[Matrix4],
    iterations: int,
    surface: SurfaceTerm | None,
) -> PoseFit:
    """Fit from the guess that leaves the fewest points unexplained.

    Several guesses (target_from_source) are joined by the closed-form motion of the scene flow or,
    without measured depth, by the best rotation; a single one is taken as it is. ``surface`` is
    fitted along where given.
    """
    problem = PoseProblem(points, camera)
    guesses = [_pose(start, points) for start in starts]
    first = fit_pose(problem, guesses[0], iterations, surface=surface)
    better = problem.misfit(first.target_from_source) < problem.misfit(guesses[0])
    if better and _is_sound(first, points):
        return first
    if len(guesses) > 1:
        closed = closed_form_pose(points, camera)
        guesses.append(_turned(points, camera, starts[0]) if closed is None else closed)
    fit = _refit(problem, guesses, iterations, surface, first)
    measured = bool((points.target_inverse_depth > 0).any())
    if not measured and not _is_sound(fit, points):
        others = [fit_pose(problem, guess, iterations, surface=surface) for guess in guesses[1:]]
        fit = min([fit, first, *others], key=lambda f: problem.misfit(f.target_from_source))
    return fit


def _refit(
    problem: PoseProblem,
    guesses: list[Float[Tensor, '4 4']],
    iterations: int,
    surface: SurfaceTerm | None,
    first: PoseFit,
) -> PoseFit:
    """Return ``first``, the fit from the first guess, or a better one from a better guess."""
    misfits = [problem.misfit(guess) for guess in guesses]
    best = int(np.argmin(misfits))
    fit, misfit = first, problem.misfit(first.target_from_source)
    if best > 0 and misfits[best] < misfit:
        fit = fit_pose(problem, guesses[best], iterations, surface=surface)
        misfit = problem.misfit(fit.target_from_source)
    if misfit > misfits[best] + _PULLED_AWAY:
        fit = fit_pose(problem, guesses[best], iterations, SIFTING, surface)
    return fit


def _is_sound(fit: PoseFit, points: Correspondences) -> bool:
    near = fit.chi2 * points.pixel_variance < _NEAR_PX**2
    return fit.scale < _SOUND_SCALE and float(near.double().mean()) > _SOUND


def fit_first(
    points: Correspondences,
    camera: CameraModel,
    starts: list[Matrix4],
    seeds: list[Vector3],
    iterations: int,
) -> PoseFit:
    """Fit where nothing is known of the depths, also from each seed of the translation."""
    iterations = max(iterations, _FIRST_ITERATIONS)
    fits = [fit_from_best(points, camera, starts, iterations, None)]
    rotation = fit_rotation(points, camera, starts[0], np.zeros(3))
    if _unexplained_px(points, camera, rotation) > _MIN_UNEXPLAINED_PX:
        problem = PoseProblem(points, camera)
        guesses = [se3.from_rotation_translation(rotation, seed) for seed in seeds]
        fits += [fit_pose(problem, _pose(guess, points), iterations) for guess in guesses]
    return min(fits, key=lambda fit: fit.misfit)


def _turned(points: Correspondences, camera: CameraModel, start: Matrix4) -> Float[Tensor, '4 4']:
    """Return the rotation that explains most, about where the camera is expected."""
    centre = se3.inverse(start)[:3, 3]
    rotation = fit_rotation(points, camera, start, np.zeros(3))
    return _pose(se3.from_rotation_translation(rotation, -rotation @ centre), points)


def _pose(pose: Matrix4, points: Correspondences) -> Float[Tensor, '4 4']:
    return torch.from_numpy(pose).to(points.source)


def _unexplained_px(
    points: Correspondences, camera: CameraModel, rotation: Float[np.ndarray, '3 3']
) -> float:
    """Return the median distance between matches and where a rotation alone puts the points."""
    turned = rays(camera, points.source) @ torch.from_numpy(rotation).to(points.source).T
    return float((project(camera, turned) - points.target).norm(dim=-1).median())
