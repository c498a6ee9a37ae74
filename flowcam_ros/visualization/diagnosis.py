# SPDX-License-Identifier: Apache-2.0
"""Everything that the estimator saw in one frame, as one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2

from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.visualization.canvas import (
    GAP,
    STRIP,
    Colour,
    Picture,
    bgr,
    side_by_side,
    stacked,
    white,
    write,
    write_within,
)
from flowcam_ros.visualization.dense_panels import (
    confidence_panel,
    depth_panel,
    depth_sigma_panel,
    flow_panel,
    unexplained_panel,
)
from flowcam_ros.visualization.diagnosis_numbers import Number, heading, lines
from flowcam_ros.visualization.fitted_points import fitted_points
from flowcam_ros.visualization.point_panels import (
    frame_panel,
    keyframe_panel,
    residual_panel,
    weight_panel,
)

# Pixels of a small panel, and the narrowest and widest that it may get.
_AREA = 120_000
_WIDTHS = (330, 560)
_HEAD = 92
_STATE_COLOURS: dict[TrackingState, Colour] = {
    TrackingState.TRACKING: bgr('#0b7a2a'),
    TrackingState.DEGRADED: bgr('#b36b00'),
    TrackingState.LOST: bgr('#c0190f'),
}


@dataclass(frozen=True)
class Labels:
    """What a picture calls its frames.

    Attributes:
        frame: of the frame itself.
        fitted_to: of the key frame it was fitted to; empty if that has none.
    """

    frame: str
    fitted_to: str = ''


def diagnosis_picture(
    diagnosis: Diagnosis, row: dict[str, Number], labels: Labels, flow: FlowEstimator
) -> Picture:
    """Draw one frame with its key frame's points, flow, depth, residuals and weights.

    Args:
        diagnosis: what the estimator saw.
        row: the numbers of the frame, as :func:`diagnosis_numbers.numbers` returns them.
        labels: how the frames are called.
        flow: tells how far to trust the dense flow; not the estimator's own one, which may keep
            a state.

    Returns:
        (height, width, 3) BGR; its size depends only on the size of the frame.
    """
    fit, key = diagnosis.alignment, diagnosis.keyframe
    points = None
    if fit is not None and key is not None:
        points = fitted_points(fit, key.frame.camera)
    size = panel_size(diagnosis)
    large = (2 * size[0] + GAP, 2 * size[1] + STRIP + GAP)
    right = [
        side_by_side([flow_panel(diagnosis, size), confidence_panel(diagnosis, flow, size)]),
        side_by_side([depth_panel(diagnosis, size), depth_sigma_panel(diagnosis, size)]),
    ]
    top = side_by_side([frame_panel(diagnosis, points, large), _spaced(right)])
    bottom = side_by_side(
        [
            keyframe_panel(diagnosis, size),
            residual_panel(diagnosis, points, size),
            weight_panel(diagnosis, points, size),
            unexplained_panel(diagnosis, size),
        ]
    )
    body = _spaced([top, bottom])
    framed = cv2.copyMakeBorder(body, 0, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return stacked([_head(diagnosis, row, labels, framed.shape[1]), framed])


def panel_size(diagnosis: Diagnosis) -> tuple[int, int]:
    """Return width and height of a small panel, in the frame's proportions."""
    camera = diagnosis.frame.camera
    width = math.sqrt(_AREA * camera.width / camera.height)
    width = min(max(round(width), _WIDTHS[0]), _WIDTHS[1])
    return width, max(round(width * camera.height / camera.width), 60)


def _spaced(rows: list[Picture]) -> Picture:
    gap = white(GAP, rows[0].shape[1])
    return stacked([part for row in rows for part in (row, gap)][:-1])


def _head(diagnosis: Diagnosis, row: dict[str, Number], labels: Labels, width: int) -> Picture:
    estimate = diagnosis.estimate
    picture = white(_HEAD, width)
    colour = _STATE_COLOURS.get(estimate.state, bgr('#4a5568'))
    title = heading(row, labels.frame, labels.fitted_to)
    write(picture, title, (GAP, 24), 0.62, colour, bold=True)
    unit = 'units' if estimate.scale_source == 'none' else 'm'
    words = lines(row, unit, estimate.timings_ms)
    for index, line in enumerate(words):
        write_within(picture, line, (GAP, 45 + 19 * index), 0.45, width - GAP)
    return picture
