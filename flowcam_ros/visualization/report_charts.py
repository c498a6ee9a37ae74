# SPDX-License-Identifier: Apache-2.0
"""The charts of the report page: losses, focal length, residuals, tracks, frames, time, memory."""

from __future__ import annotations

import math

import numpy as np

from flowcam_ros.flowmap.report_data import Histogram, LossCurve, RefineReport
from flowcam_ros.visualization.report_parts import (
    bar_rows,
    card,
    legend,
    memory_text,
    seconds_text,
)
from flowcam_ros.visualization.svg import Chart, limits

# More bars than this are thinner than a pixel: a line takes their place.
_MOST_BARS = 450


def loss_card(report: RefineReport) -> str:
    """Return the losses over the steps, one stage after the other."""
    curves = [curve for curve in report.losses if len(curve.step)]
    values = [v for c in curves for v in (c.flow, c.track, c.total)]
    positive = np.concatenate([v[v > 0] for v in values]) if values else np.empty(0)
    if positive.size == 0:
        return ''
    chart = Chart(
        (float(curves[0].step[0]), float(max(c.step[-1] for c in curves))),
        (float(positive.min()) / 1.2, float(positive.max()) * 1.2),
        log_y=True,
    )
    for number, curve in enumerate(curves):
        class_ = 'band' if number % 2 else 'no-band'
        chart.band(float(curve.step[0]), float(curve.step[-1]), curve.stage, class_)
    chart.axes('step', 'loss', whole_x=True)
    for curve in curves:
        steps = curve.step.astype(float)
        chart.line(steps, curve.track, 'start')
        chart.line(steps, curve.flow, 'third')
        chart.line(steps, curve.total, 'estimate')
    drawn = legend([('estimate', 'total'), ('third', 'flow'), ('start', 'tracks')])
    return card('Loss', drawn + chart.svg('Losses over the steps'), _stages_note(curves))


def _stages_note(curves: list[LossCurve]) -> str:
    parts = []
    for curve in curves:
        first, last = float(curve.total[0]), float(curve.total[-1])
        parts.append(
            f'{curve.stage}: {first:.3g} to {last:.3g} in '
            f'{int(curve.step[-1] - curve.step[0]) + 1} steps'
        )
    return '; '.join(parts) + '.'


def focal_card(report: RefineReport) -> str:
    """Return the focal length over the steps, with the final one and its uncertainty."""
    focal = report.focal
    if focal is None or len(focal.step) == 0:
        return ''
    final = None if report.camera is None else (report.camera.fx + report.camera.fy) / 2
    sigma = report.focal_sigma_px
    spread = None if final is None else final + np.array([-1.0, 1.0]) * (sigma or 0.0)
    steps = focal.step.astype(float)
    chart = Chart((steps[0], steps[-1]), limits(focal.pixels, spread))
    chart.axes('step', 'focal length [px]', whole_x=True)
    items = [('estimate', 'over the steps')]
    if final is not None:
        chart.level(final, sigma or 0.0)
        items.append(('final', 'final' + (' and its sigma' if sigma else '')))
    chart.line(steps, focal.pixels, 'estimate')
    note = '' if final is None else f'Final: {final:.1f} px'
    if sigma:
        note += f' ± {sigma:.1f} px (one sigma)'
    drawn = legend(items) + chart.svg('Focal length over the steps')
    return card('Focal length', drawn, note and note + '.')


def residual_cards(report: RefineReport) -> str:
    """Return how far seen and projected points lie apart, altogether and frame by frame."""
    residuals = report.residuals
    if residuals is None:
        return ''
    chart = _histogram(residuals.histogram, 'distance [px]', 'observations')
    marks = ((residuals.median, 'median'), (residuals.p90, '90 %'))
    for value, words in marks:
        if np.isfinite(value) and value <= residuals.histogram.edges[-1]:
            chart.upright(value, words, 'rule')
    first = card(
        'Reprojection residuals',
        chart.svg('Histogram of reprojection residuals'),
        _beyond(residuals.histogram, 'observation', ' px'),
    )
    medians = residuals.frame_median
    if not np.isfinite(medians).any():
        return first
    frames = np.arange(len(medians), dtype=float)
    over = Chart(
        (-0.5, len(medians) - 0.5), (0.0, limits(medians, np.zeros(1))[1]), size=(528.0, 260.0)
    )
    over.axes('frame', 'median residual [px]', whole_x=True)
    if len(medians) <= _MOST_BARS:
        over.bars(np.arange(len(medians) + 1) - 0.5, np.nan_to_num(medians), 'fill-estimate')
    else:
        over.line(frames, medians, 'estimate')
    missing = frames[~np.isfinite(medians)]
    over.marks(missing, np.zeros(len(missing)), 'fill-error', 2.5)
    note = (
        f'{len(missing)} frames without points are marked at the bottom.' if len(missing) else ''
    )
    return first + card(
        'Residual of each frame', over.svg('Median reprojection residual of each frame'), note
    )


def track_card(report: RefineReport) -> str:
    """Return how many frames see a point."""
    lengths = report.track_lengths
    if lengths is None or lengths.counts.sum() == 0:
        return ''
    chart = _histogram(lengths, 'frames that see a point', 'points')
    return card(
        'Track lengths',
        chart.svg('Histogram of track lengths'),
        _beyond(lengths, 'point', ' frames'),
    )


def _histogram(histogram: Histogram, x_label: str, y_label: str) -> Chart:
    counts = histogram.counts.astype(float)
    chart = Chart(
        (float(histogram.edges[0]), float(histogram.edges[-1])),
        (0.0, max(float(counts.max(initial=0.0)) * 1.08, 1.0)),
    )
    chart.axes(x_label, y_label)
    chart.bars(histogram.edges, counts, 'fill-estimate')
    return chart


def _beyond(histogram: Histogram, thing: str, unit: str) -> str:
    if not histogram.beyond:
        return ''
    share = 100.0 * histogram.beyond / (histogram.beyond + int(histogram.counts.sum()))
    return (
        f'{histogram.beyond} {thing}{"s" if histogram.beyond > 1 else ""} ({share:.1f} %) beyond '
        f'{math.floor(histogram.edges[-1])}{unit} are not drawn.'
    )


def frame_card(report: RefineReport) -> str:
    """Return what became of the frames."""
    counts = report.frames
    rows = [
        ('read', counts.read),
        ('optimised', counts.chosen),
        ('placed afterwards', counts.read - counts.chosen - counts.tracked - counts.unplaced),
        ('placed by the online path', counts.tracked),
        ('without a pose', counts.unplaced),
        ('left out as blurred', counts.blurred),
        ('left out as duplicate', counts.duplicate),
        ('left out for little flow', counts.between),
    ]
    whole = max(counts.read, 1)
    body = bar_rows([(name, n / whole, str(n)) for name, n in rows], 'fill-estimate')
    loops = report.loops
    note = ''
    if loops:
        best = max(loops, key=lambda pair: pair.matches)
        note = (
            f'{len(loops)} loop {"pair" if len(loops) == 1 else "pairs"} found; the surest joins '
            f'frames {best.first} and {best.second} by {best.matches} points.'
        )
    return card('Frames', body, note)


def cost_card(report: RefineReport) -> str:
    """Return time and memory by stage."""
    stages = report.stages
    if not stages:
        return ''
    whole = max(sum(stage.seconds for stage in stages), 1e-9)
    body = '<h3>Time</h3>' + bar_rows(
        [(s.name, s.seconds / whole, seconds_text(s.seconds)) for s in stages], 'fill-estimate'
    )
    peaks = [(s.name, s.peak_mb) for s in stages if s.peak_mb is not None]
    if peaks:
        budget = report.memory_budget_mb
        top = max(max(mb for _, mb in peaks), budget or 0.0, 1e-9)
        body += '<h3>Peak memory so far</h3>' + bar_rows(
            [(name, mb / top, memory_text(mb)) for name, mb in peaks], 'fill-third'
        )
        if budget is not None:
            body += f'<p class="remark">The budget was {memory_text(budget)}, the full width.</p>'
    return card('Time and memory', body)
