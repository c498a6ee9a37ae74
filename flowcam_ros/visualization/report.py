# SPDX-License-Identifier: Apache-2.0
"""The report page of a refinement: one HTML file that needs nothing beside itself."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from flowcam_ros import __version__
from flowcam_ros.export.atomic import write_text
from flowcam_ros.flowmap.evidence import Finding, Level, Verdict
from flowcam_ros.flowmap.report_data import RefineReport
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.visualization.report_charts import (
    cost_card,
    focal_card,
    frame_card,
    loss_card,
    residual_cards,
    track_card,
)
from flowcam_ros.visualization.report_parts import card, memory_text, seconds_text, table
from flowcam_ros.visualization.report_paths import path_cards
from flowcam_ros.visualization.report_pictures import depth_card
from flowcam_ros.visualization.report_style import STYLE

_BADGES = {Level.GOOD: '\u2713', Level.NOTE: 'i', Level.WARNING: '!', Level.BAD: '\u00d7'}
_HEADLINES = {
    Level.GOOD: 'Good: nothing speaks against this result',
    Level.WARNING: 'Usable with care: read what is marked',
    Level.BAD: 'Do not rely on this result',
}


def write_report(path: Path, report: RefineReport) -> None:
    """Write the page as a new file.

    Raises:
        OutputError: the file exists already or cannot be written.
    """
    write_text(path, report_page(report))


def report_page(report: RefineReport) -> str:
    """Return the page as HTML, without scripts and without anything fetched from elsewhere.

    What the report does not hold is left out.
    """
    cards = (
        path_cards(report),
        depth_card(report),
        loss_card(report),
        focal_card(report),
        residual_cards(report),
        track_card(report),
        frame_card(report),
        cost_card(report),
        _camera_card(report),
        _facts_card(report),
    )
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)} · flowcam refine</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>
<div class="kind">flowcam refine · report</div>
<h1>{escape(report.title)}</h1>
<div class="source">{escape(report.source)}</div>
</header>
{_verdict(report.verdict)}
{_tiles(report)}
<div class="cards">
{''.join(cards)}
</div>
<footer>Made by flowcam_ros {escape(__version__)}. Poses are camera-to-world, axes x right, y down,
z forward; pixel centres are at whole numbers.</footer>
</main>
</body>
</html>
"""
    # The name of a file need not be UTF-8; Python holds its bytes as lone surrogates.
    return page.encode('utf-8', 'backslashreplace').decode()


def _verdict(verdict: Verdict) -> str:
    items = ''.join(map(_finding, verdict.findings))
    listed = f'<ul>{items}</ul>' if items else ''
    return (
        f'<section class="verdict {verdict.level.value}">'
        f'<h2>{_HEADLINES[verdict.level]}</h2>{listed}</section>'
    )


def _finding(finding: Finding) -> str:
    level = finding.level
    remedy = f'<p class="remedy">{escape(finding.remedy)}</p>' if finding.remedy else ''
    return (
        f'<li><span class="badge {level.value}" title="{level.value}">{_BADGES[level]}</span>'
        f'<div><p>{escape(finding.what)}</p>{remedy}</div></li>'
    )


def _tiles(report: RefineReport) -> str:
    frames, residuals = report.frames, report.residuals
    tiles = [('Frames with a pose', f'{len(report.refined)} of {frames.read}',
              f'{frames.chosen} optimised')]  # fmt: skip
    if residuals is not None and math.isfinite(residuals.median):
        tiles.append(
            ('Median residual', f'{residuals.median:.2f} px', f'90 %: {residuals.p90:.2f} px')
        )
    if report.camera is not None:
        tiles.append(_focal_tile(report, report.camera))
    unknown = report.scale_source == 'none'
    source = 'up to scale, no metres' if unknown else f'from {report.scale_source}'
    tiles.append(('Scale', 'unknown' if unknown else 'metres', source))
    if report.stages:
        peaks = [stage.peak_mb for stage in report.stages if stage.peak_mb is not None]
        memory = f'peak {memory_text(max(peaks))}' if peaks else ''
        tiles.append(('Time', seconds_text(sum(s.seconds for s in report.stages)), memory))
    drawn = ''.join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}'
        f'<small>{escape(small)}</small></dd></div>'
        for name, value, small in tiles
    )
    return f'<dl class="tiles">{drawn}</dl>'


def _focal_tile(report: RefineReport, camera: CameraModel) -> tuple[str, str, str]:
    focal = (camera.fx + camera.fy) / 2
    view = 2 * math.degrees(math.atan(camera.width / 2 / camera.fx))
    if report.focal_known:
        return 'Focal length', f'{focal:.1f} px', f'given; {view:.0f}° across'
    sigma = report.focal_sigma_px
    sure = '' if sigma is None else f'± {sigma:.1f} px; '
    return 'Focal length', f'{focal:.1f} px', f'{sure}{view:.0f}° across'


def _camera_card(report: RefineReport) -> str:
    camera = report.camera
    if camera is None:
        return ''
    rows = [
        ('picture', f'{camera.width} x {camera.height} pixels'),
        ('focal length', f'fx {camera.fx:.2f}, fy {camera.fy:.2f} pixels'),
        ('principal point', f'cx {camera.cx:.2f}, cy {camera.cy:.2f} pixels'),
        ('distortion', camera.distortion_model),
    ]
    if camera.is_distorted:
        rows.append(('coefficients', ', '.join(f'{value:.5g}' for value in camera.distortion)))
    rows.append(('intrinsics', 'given' if report.focal_known else 'found by the refinement'))
    return card('Camera', table(rows))


def _facts_card(report: RefineReport) -> str:
    if not report.facts:
        return ''
    return card('Run', table(report.facts))
