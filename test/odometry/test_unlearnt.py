# SPDX-License-Identifier: Apache-2.0
"""Covariance of a fit on depths that fits like it have taught."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.odometry.pose_problem import PoseProblem
from flowcam_ros.odometry.pose_solver import PoseFit, fit_pose
from flowcam_ros.odometry.robust import FORGIVING
from flowcam_ros.odometry.scene_flow import Correspondences
from flowcam_ros.odometry.unlearnt import unlearnt_covariance

CAMERA = CameraModel(640, 480, 500.0, 500.0, 320.0, 240.0)
MOTION = se3.exp(np.array([0.1, -0.05, 0.08, 0.02, -0.03, 0.04]))


def scene(seed: int, depth_sigma: float, motion: np.ndarray = MOTION) -> Correspondences:
    """Return points seen twice, with depth known in the source."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    count, pixel_sigma = 200, 0.3
    size = torch.tensor([640.0, 480.0], dtype=torch.float64)
    source = size * torch.rand(count, 2, dtype=torch.float64, generator=generator)
    inverse = 0.3 + 0.7 * torch.rand(count, dtype=torch.float64, generator=generator)
    pose = torch.from_numpy(motion)
    moved = (rays(CAMERA, source) / inverse.unsqueeze(-1)) @ pose[:3, :3].T + pose[:3, 3]
    ones = torch.ones_like(inverse)
    return Correspondences(
        source,
        project(CAMERA, moved) + pixel_sigma * noise(count, 2),
        pixel_sigma**2 * ones,
        inverse + depth_sigma * noise(count),
        depth_sigma**2 * ones,
        0.0 * ones,
        ones,
    )


def fitted(points: Correspondences) -> PoseFit:
    return fit_pose(PoseProblem(points, CAMERA), torch.from_numpy(MOTION), 20)


def direction(fit: PoseFit) -> torch.Tensor:
    """Return the unit step along the way of a fit."""
    way = fit.target_from_source[:3, 3]
    return torch.cat([way / way.norm(), torch.zeros(3, dtype=torch.float64)])


def test_nothing_learnt_is_the_covariance_of_the_fit() -> None:
    points = scene(0, depth_sigma=1e-4)
    fit = fitted(points)
    found = unlearnt_covariance(points, CAMERA, fit, points.inverse_depth_variance)
    sigma = fit.covariance.diagonal().sqrt()
    assert float(((found - fit.covariance) / torch.outer(sigma, sigma)).abs().max()) < 0.01


def test_the_less_was_known_before_the_less_is_sure() -> None:
    """In all directions but that of the way, whose length is as sure as the depths are now."""
    points = scene(1, depth_sigma=1e-4)
    fit = fitted(points)
    way, last = direction(fit), fit.covariance
    for share in (0.01, 0.1, 1.0):
        found = unlearnt_covariance(points, CAMERA, fit, (share * points.inverse_depth) ** 2)
        assert float(way @ found @ way) == pytest.approx(float(way @ fit.covariance @ way))
        assert float(torch.linalg.det(found)) > 1.5 * float(torch.linalg.det(last))
        last = found
    assert float((last.diagonal() / fit.covariance.diagonal()).max()) > 5.0


def test_besides_the_length_it_is_what_a_fit_on_the_old_depths_knows() -> None:
    points = scene(2, depth_sigma=1e-4)
    fit = fitted(points)
    before = (0.3 * points.inverse_depth) ** 2
    problem = PoseProblem(dataclasses.replace(points, inverse_depth_variance=before), CAMERA)
    at = problem.residuals(fit.target_from_source, fit.inverse_depth)
    old = problem.normal_equations(at, 1.0, FORGIVING).hessian
    way = direction(fit)
    across = torch.eye(6, dtype=torch.float64) - torch.outer(way, way)
    found = torch.linalg.inv(unlearnt_covariance(points, CAMERA, fit, before))
    found, old = across @ found @ across, across @ old @ across
    size = float(found.trace() / old.trace())
    assert 0.7 < size < 1.5  # the scale of the residuals is not exactly 1
    sigma = old.diagonal().clamp_min(1e-9).sqrt()
    assert float(((found / size - old) / torch.outer(sigma, sigma)).abs().max()) < 0.05


def taught(points: Correspondences) -> Correspondences:
    """Return the points with the depths that a fit gave them, as sure as it makes them."""
    fit = fitted(points)
    pose = fit.target_from_source
    h = 1e-4
    seen, farther = (
        PoseProblem(points, CAMERA).residuals(pose, fit.inverse_depth + d).residual[:2]
        for d in (0.0, h)
    )
    told = ((farther - seen) / h).square().sum(0) / points.pixel_variance
    variance = 1.0 / (told + 1.0 / points.inverse_depth_variance)
    return dataclasses.replace(
        points, inverse_depth=fit.inverse_depth, inverse_depth_variance=variance
    )


def test_errors_that_depths_learnt_are_not_taken_for_knowledge() -> None:
    """A fit on depths that its own pictures taught agrees with them and is wrong all the same."""
    present, unlearnt = [], []
    for seed in range(40):
        points = scene(seed, depth_sigma=0.05)
        learnt = taught(points)
        fit = fitted(learnt)
        # but for the length, which the scale of the map speaks of
        across = torch.linalg.svd(direction(fit).unsqueeze(0))[2][1:].numpy()
        error = across @ se3.log(MOTION @ se3.inverse(fit.target_from_source.numpy()))
        honest = unlearnt_covariance(learnt, CAMERA, fit, points.inverse_depth_variance)
        for squares, covariance in ((present, fit.covariance), (unlearnt, honest)):
            information = np.linalg.inv(across @ covariance.numpy() @ across.T)
            squares.append(error @ information @ error / 5.0)
    assert np.mean(present) > 6.0
    assert 0.7 < np.mean(unlearnt) < 2.5


def test_standing_still_has_no_length_to_know() -> None:
    points = scene(3, depth_sigma=0.01, motion=np.eye(4))
    still = torch.eye(4, dtype=torch.float64)
    fit = dataclasses.replace(fitted(points), target_from_source=still)
    found = unlearnt_covariance(points, CAMERA, fit, 100.0 * points.inverse_depth_variance)
    assert torch.isfinite(found).all()
    assert float(torch.linalg.eigvalsh(found).min()) > 0.0
