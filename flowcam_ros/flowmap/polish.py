# SPDX-License-Identifier: Apache-2.0
"""From the poses of the optimisation to the most precise ones: bundle adjustment of the tracks.

Depth by a network and poses in closed form get near the minimum from anywhere; gradient descent
then takes thousands of steps for the last percent. Second-order steps on the tracks take twenty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from flowcam_ros.correspondence.tracks import Tracks
from flowcam_ros.flowmap.bundle import BundleFit, adjust
from flowcam_ros.flowmap.bundle_problem import BundleProblem, BundleState, Charts, LensPrior
from flowcam_ros.flowmap.focal_certainty import focal_log_sigma
from flowcam_ros.flowmap.lens import (
    CENTRE_X,
    CENTRE_Y,
    FOCAL,
    LENS_NUMBERS,
    RADIAL_1,
    RADIAL_2,
    Lens,
)
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.polish_config import PolishConfig
from flowcam_ros.flowmap.track_depth import (
    held,
    in_order,
    observations_of,
    placed_points,
    selected,
)

# Fewer observations leave the pose of a frame to chance.
_MIN_OBSERVATIONS = 20

OnPolish = Callable[[str, int, float, float], None]


@dataclass(frozen=True)
class Polished:
    """Result of :func:`polish`.

    Attributes:
        poses: (f, 4, 4) world_from_camera.
        lens: of the tracking pictures.
        focal_log_sigma: standard deviation of the logarithm of the focal length; 0 if known.
        points: (p, 3) in the world, those that hold.
        number: (p,) of each point in the tracks that were given.
        tracks: their observations.
        error_px: (m,) distance of each observation from its point, pixels.
        scale: factor by which errors exceed what the tracks say about themselves.
        rejected_share: of the observations.
        held: (f,) True for frames that enough observations hold in place.
    """

    poses: Float[Tensor, 'f 4 4']
    lens: Lens
    focal_log_sigma: float
    points: Float[np.ndarray, 'p 3']
    number: Int64[np.ndarray, ' p']
    tracks: Tracks
    error_px: Float[np.ndarray, ' m']
    scale: float
    rejected_share: float
    held: Bool[np.ndarray, ' f']


def polish(
    tracks: Tracks,
    maps: Maps,
    lens: Lens,
    poses: Float[Tensor, 'f 4 4'],
    prior: LensPrior,
    config: PolishConfig,
    on_step: OnPolish,
) -> Polished:
    """Adjust poses, then lens and poses, then both without outliers; points always.

    Args:
        tracks: observations in tracking pictures; frames without any stay where they are.
        maps: depth to begin with.
        lens: to begin with.
        poses: world_from_camera to begin with.
        prior: what of the lens is free, and what is known of it.
        config: number of steps.
        on_step: told stage, step, scale of the errors and focal length; may raise to cancel.
    """
    total = len(tracks)
    tracks, order = in_order(tracks)
    charts, points = placed_points(tracks, maps, lens, poses)
    state = BundleState(poses, lens, points)
    tracks, old, charts, state = _explained(tracks, charts, state, prior, config, on_step)
    problem = BundleProblem(charts, observations_of(tracks, poses.device), prior)
    fit = adjust(problem, state, config.steps, partial(on_step, 'inliers'))
    share = 1.0 - len(tracks) / max(total, 1)
    return result_of(problem, fit, charts, tracks, order[old], prior, share)


def _explained(
    tracks: Tracks,
    charts: Charts,
    state: BundleState,
    prior: LensPrior,
    config: PolishConfig,
    on_step: OnPolish,
) -> tuple[Tracks, Int64[np.ndarray, ' p'], Charts, BundleState]:
    """Adjust poses, then lens and poses, and return what they explain, and the state.

    All that is held of the others is gone before the next adjustment begins.
    """
    observations = observations_of(tracks, state.poses.device)
    fixed = LensPrior(prior.numbers, torch.zeros_like(prior.information), prior.free & False)
    problem = BundleProblem(charts, observations, fixed)
    state = adjust(problem, state, config.steps, partial(on_step, 'poses')).state
    problem = BundleProblem(charts, observations, prior)
    fit = adjust(problem, state, config.steps, partial(on_step, 'lens'))
    good, old = selected(tracks, held(fit.at, observations, charts, fit.scale))
    index = torch.from_numpy(old).to(state.poses.device)
    return (
        good,
        old,
        Charts(charts.origin[index], charts.axes[index]),
        BundleState(fit.state.poses, fit.state.lens, fit.state.points[index]),
    )


def result_of(
    problem: BundleProblem,
    fit: BundleFit,
    charts: Charts,
    tracks: Tracks,
    number: Int64[np.ndarray, ' p'],
    prior: LensPrior,
    rejected: float,
) -> Polished:
    """Return an adjustment as a result."""
    at = fit.at
    return Polished(
        at.state.poses,
        at.state.lens,
        focal_log_sigma(problem, fit, prior),
        charts.world(at.state.points).cpu().numpy(),
        number,
        tracks,
        at.residual[:, :2].norm(dim=-1).cpu().numpy(),
        fit.scale,
        rejected,
        np.bincount(tracks.frame, minlength=len(at.state.poses)) >= _MIN_OBSERVATIONS,
    )


def from_first_camera(polished: Polished) -> Polished:
    """Return the same in a world whose axes are those of the first frame that is held.

    Nothing ties the world of an adjustment down, so it drifts off the one it began with.
    """
    first = int(np.argmax(polished.held))
    camera_from_world = torch.linalg.inv(polished.poses[first])
    points = torch.from_numpy(polished.points) @ camera_from_world[:3, :3].T.cpu()
    return dataclasses.replace(
        polished,
        poses=camera_from_world @ polished.poses,
        points=(points + camera_from_world[:3, 3].cpu()).numpy(),
    )


def lens_prior(
    lens: Lens, known: bool, centre: bool, size: tuple[int, int], config: PolishConfig
) -> LensPrior:
    """Return what is known of a lens.

    Args:
        lens: as it is believed to be.
        known: nothing of it is to change.
        centre: the principal point is to be found, too.
        size: width and height of the tracking pictures.
        config: how far numbers may be from what is believed.
    """
    free = torch.zeros(LENS_NUMBERS, dtype=torch.bool)
    information = torch.zeros(LENS_NUMBERS, dtype=torch.float64)
    if not known:
        free[[FOCAL, RADIAL_1, RADIAL_2]] = True
        information[[RADIAL_1, RADIAL_2]] = config.radial_sigma**-2
        if centre:
            free[[CENTRE_X, CENTRE_Y]] = True
            information[[CENTRE_X, CENTRE_Y]] = (config.centre_sigma * max(size)) ** -2
    device = lens.numbers.device
    return LensPrior(lens.numbers.clone(), information.to(device), free.to(device))
