# SPDX-License-Identifier: Apache-2.0
"""The picture of a trajectory held against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowcam_ros.evaluation.association import associate
from flowcam_ros.evaluation.evaluate import DEFAULT_MAX_DIFFERENCE_NS, Evaluation
from flowcam_ros.evaluation.metrics import position_errors
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.visualization.colors import ERROR
from flowcam_ros.visualization.path import draw_path
from flowcam_ros.visualization.style import dress, head, new_figure, save_png
from flowcam_ros.visualization.view import choose_views


def plot_evaluation(
    path: Path,
    trajectory: Trajectory,
    ground_truth: Trajectory,
    evaluation: Evaluation,
    max_difference_ns: int = DEFAULT_MAX_DIFFERENCE_NS,
    title: str = 'Trajectory against ground truth',
) -> None:
    """Write a PNG with both paths from above and from the side, and the error over time.

    ``evaluation`` is what :func:`evaluate` returned for the same arguments.

    Raises:
        OutputError: the file exists already or cannot be written.
    """
    aligned = evaluation.alignment.apply(trajectory)
    index, true_index = associate(aligned.stamps_ns, ground_truth.stamps_ns, max_difference_ns)
    errors = position_errors(
        aligned.world_from_camera[index], ground_truth.world_from_camera[true_index]
    )
    seconds = (aligned.stamps_ns[index] - aligned.stamps_ns[0]) * 1e-9

    figure = new_figure(11.0, 6.6)
    head(figure, title, summary(evaluation))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1.0))
    views = choose_views(ground_truth)
    top = figure.add_subplot(grid[:, 0])
    draw_path(top, views[0], aligned, ground_truth)
    top.legend(fontsize=8, frameon=False, loc='best')
    draw_path(figure.add_subplot(grid[0, 1]), views[1], aligned, ground_truth)
    over_time = figure.add_subplot(grid[1, 1])
    dress(over_time, 'distance to the truth', 'time [s]', '[m]')
    over_time.fill_between(seconds, errors, color=ERROR, alpha=0.15, linewidth=0)
    over_time.plot(seconds, errors, color=ERROR, linewidth=1.4)
    rmse = evaluation.ate.rmse
    over_time.axhline(rmse, color=ERROR, linewidth=0.9, linestyle=(0, (4, 3)), label='RMSE')
    over_time.legend(fontsize=8, frameon=False, loc='best')
    over_time.set_ylim(0.0, max(float(np.max(errors)) * 1.1, 1e-9))
    over_time.margins(x=0.0)
    save_png(figure, path)


def summary(evaluation: Evaluation) -> str:
    """Return the errors in one line."""
    parts = [f'ATE {length_text(evaluation.ate.rmse)} RMSE']
    if np.isfinite(evaluation.ate_percent):
        parts.append(
            f'{evaluation.ate_percent:.2f} % of the {length_text(evaluation.path_length)} path'
        )
    if evaluation.rpe_rotation_deg is not None:
        parts.append(f'rotation {evaluation.rpe_rotation_deg.median:.3f}° a pose (median)')
    aligned = {'none': 'not aligned'}.get(evaluation.align, f'aligned {evaluation.align.upper()}')
    if evaluation.align == 'sim3':
        aligned += f', scale {evaluation.scale:.4g}'
    parts += [aligned, f'{evaluation.matched} of {evaluation.ground_truth_poses} poses']
    return '   ·   '.join(parts)


def length_text(metres: float) -> str:
    """Return a length with a unit that suits it."""
    if metres < 0.1:
        return f'{metres * 1000:.1f} mm'
    return f'{metres:.2f} m' if metres < 100 else f'{metres:.0f} m'
