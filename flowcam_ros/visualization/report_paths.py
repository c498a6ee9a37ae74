# SPDX-License-Identifier: Apache-2.0
"""The refined path from above and from the side, over where it started and over the truth."""

from __future__ import annotations

import numpy as np

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.alignment import fit_similarity
from flowcam_ros.evaluation.association import associate
from flowcam_ros.evaluation.evaluate import DEFAULT_MAX_DIFFERENCE_NS
from flowcam_ros.evaluation.metrics import position_errors
from flowcam_ros.flowmap.report_data import LoopPair, RefineReport
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.visualization.report_parts import card, legend
from flowcam_ros.visualization.svg import Chart, limits
from flowcam_ros.visualization.view import View, choose_views


def path_cards(report: RefineReport) -> str:
    """Return the path seen from above and from the side; nothing for a path without frames."""
    refined, notes = report.refined, []
    if not len(refined):
        return ''
    truth, online = report.truth, report.online
    metric = report.scale_source != 'none'
    unit = 'm' if metric or truth is not None else 'units'
    if truth is not None:
        laid = _laid_over(refined, truth, with_scale=not metric)
        refined = laid or refined
        notes.append(_truth_note(laid, truth, with_scale=not metric))
        truth = truth if laid else None
    if online is not None:
        online = _laid_over(online, refined, with_scale=True)
        if online is None:
            notes.append('The start cannot be laid over the result and is not drawn.')
    items = [('estimate', 'refined')]
    items += [('start', 'before refinement')] if online is not None else []
    items += [('truth', 'truth')] if truth is not None else []
    items += [('loop', 'loop found')] if report.loops else []
    views = choose_views(refined)
    drawn = [
        _draw(view, unit, refined, online, truth, report.loops).svg(
            f'Path of the camera {view.title}'
        )
        for view in views
    ]
    figures = ''.join(
        f'<figure><figcaption>{view.title}</figcaption>{svg}</figure>'
        for view, svg in zip(views, drawn, strict=True)
    )
    body = legend(items) + f'<div class="pair">{figures}</div>'
    return card('Path of the camera', body, ' '.join(notes), wide=True)


def _laid_over(
    trajectory: Trajectory, target: Trajectory, *, with_scale: bool
) -> Trajectory | None:
    """Return the path aligned to the target; None where that cannot be done."""
    index, other = associate(trajectory.stamps_ns, target.stamps_ns, DEFAULT_MAX_DIFFERENCE_NS)
    try:
        fit = fit_similarity(trajectory.positions[index], target.positions[other], with_scale)
    except EvaluationError:
        return None
    return fit.apply(trajectory)


def _truth_note(laid: Trajectory | None, truth: Trajectory, *, with_scale: bool) -> str:
    if laid is None:
        return 'The result cannot be laid over the true path, which is not drawn.'
    index, other = associate(laid.stamps_ns, truth.stamps_ns, DEFAULT_MAX_DIFFERENCE_NS)
    errors = position_errors(laid.world_from_camera[index], truth.world_from_camera[other])
    rmse = float(np.sqrt(np.mean(np.square(errors))))
    length = f'{rmse * 1000:.1f} mm' if rmse < 0.1 else f'{rmse:.2f} m'
    how = 'rotation, translation and scale' if with_scale else 'rotation and translation'
    return f'Distance to the truth {length} RMSE after fitting {how}, {len(index)} poses.'


def _draw(
    view: View,
    unit: str,
    refined: Trajectory,
    online: Trajectory | None,
    truth: Trajectory | None,
    loops: tuple[LoopPair, ...],
) -> Chart:
    lines = [
        (path, class_)
        for path, class_ in ((truth, 'truth'), (online, 'start'), (refined, 'estimate'))
        if path is not None
    ]
    places = [view.project(path.positions) for path, _ in lines]
    chart = Chart(
        limits(*(place[:, 0] for place in places)),
        limits(*(place[:, 1] for place in places)),
        size=(528.0, 380.0),
        equal=True,
    )
    chart.axes(*view.labels(unit))
    for place, (_, class_) in zip(places, lines, strict=True):
        chart.line(place[:, 0], place[:, 1], class_)
    here = places[-1]
    for pair in loops:
        ends = here[[pair.first, pair.second]]
        chart.line(ends[:, 0], ends[:, 1], 'loop')
    chart.marks(here[:1, 0], here[:1, 1], 'first', 5.0)
    chart.marks(here[-1:, 0], here[-1:, 1], 'last', 4.0)
    return chart
