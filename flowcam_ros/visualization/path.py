# SPDX-License-Identifier: Apache-2.0
"""A camera path from above and from the side."""

from __future__ import annotations

from matplotlib.axes import Axes

from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.visualization.colors import ESTIMATE, INK, TRUTH
from flowcam_ros.visualization.style import dress
from flowcam_ros.visualization.view import View


def draw_path(
    axes: Axes, view: View, trajectory: Trajectory, truth: Trajectory | None = None
) -> None:
    """Draw the path, its start and end, and the true path below it if there is one."""
    dress(axes, view.title, *view.labels())
    if truth is not None:
        true_line = view.project(truth.positions).T
        axes.plot(*true_line, color=TRUTH, linewidth=4.5, solid_capstyle='round', label='truth')
    line = view.project(trajectory.positions)
    axes.plot(*line.T, color=ESTIMATE, linewidth=1.6, label='estimate')
    axes.plot(*line[0], 'o', color='white', markeredgecolor=INK, markersize=7, label='start')
    axes.plot(*line[-1], 's', color=INK, markersize=6, label='end')
    axes.set_aspect('equal', adjustable='datalim')
    axes.margins(0.08)
