# SPDX-License-Identifier: Apache-2.0
"""From an adjusted result to metres: its scale, and an adjustment with measured depth."""

from __future__ import annotations

import dataclasses
from functools import partial

import torch

from flowcam_ros.flowmap.bundle import adjust
from flowcam_ros.flowmap.bundle_problem import BundleProblem, BundleState, LensPrior
from flowcam_ros.flowmap.frame_store import FrameStore
from flowcam_ros.flowmap.measured import MeasuredDepths, measured_depths
from flowcam_ros.flowmap.metric import to_metres
from flowcam_ros.flowmap.path_scale import KnownPath
from flowcam_ros.flowmap.polish import OnPolish, Polished, from_first_camera, result_of
from flowcam_ros.flowmap.polish_config import PolishConfig
from flowcam_ros.flowmap.scale import MetricScale
from flowcam_ros.flowmap.track_depth import charts_at, observations_of

# Pixel errors of a frame go together, so that its points tell less than they promise: on
# recordings the variance that they cause is 1 to 20 times the promised one, counted as in
# focal_certainty.py. Depth counts so much more against them.
_AGAINST_PIXELS = 4.0


def in_metres(
    store: FrameStore,
    polished: Polished,
    known: KnownPath | None,
    config: PolishConfig,
    on_step: OnPolish,
) -> tuple[Polished, MetricScale | None]:
    """Return a result in metres where anything tells what those are, and the scale.

    With measured depth it is adjusted twice more, and the scale is the one before that.
    Arguments are those of :func:`to_metres` and :func:`polish_metric`.
    """
    polished, scale = to_metres(store, polished, known)
    if scale is not None and scale.holds_depth:
        # a path without depth bends, and depth must not be blamed for that: it is believed first
        depths = measured_depths(store, polished).as_promised()
        polished = polish_metric(polished, depths, config, on_step)
        polished = polish_metric(polished, measured_depths(store, polished), config, on_step)
    return polished, scale


def polish_metric(
    polished: Polished,
    depths: MeasuredDepths,
    config: PolishConfig,
    on_step: OnPolish,
) -> Polished:
    """Adjust poses and points once more, together with measured depth, which holds the scale.

    The lens stays: depth and colour of a camera are never registered perfectly, and a free focal
    length would take up what that makes.

    Args:
        polished: in metres, without outliers.
        depths: at its observations.
        config: number of steps.
        on_step: told the part 'metres', step, scale of the errors and focal length; may raise to
            cancel.
    """
    device = polished.poses.device
    points = torch.from_numpy(polished.points).to(device)
    charts, local = charts_at(polished.tracks, points, polished.poses)
    observations = dataclasses.replace(
        observations_of(polished.tracks, device),
        inverse_depth=torch.from_numpy(depths.inverse_depth).to(device),
        depth_information=torch.from_numpy(_AGAINST_PIXELS * depths.information).to(device),
    )
    numbers = polished.lens.numbers
    prior = LensPrior(numbers, torch.zeros_like(numbers), torch.zeros_like(numbers).bool())
    problem = BundleProblem(charts, observations, prior)
    start = BundleState(polished.poses, polished.lens, local)
    fit = adjust(problem, start, config.steps, partial(on_step, 'metres'))
    share, number = polished.rejected_share, polished.number
    found = result_of(problem, fit, charts, polished.tracks, number, prior, share)
    return from_first_camera(dataclasses.replace(found, focal_log_sigma=polished.focal_log_sigma))
