# SPDX-License-Identifier: Apache-2.0
"""One picture that shows what the odometry gave: path, image and depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes

from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.visualization.colors import INK
from flowcam_ros.visualization.depth import depth_limits, depth_picture
from flowcam_ros.visualization.path import draw_path
from flowcam_ros.visualization.style import dress, head, new_figure, save_png
from flowcam_ros.visualization.view import choose_views


def plot_overview(
    path: Path,
    trajectory: Trajectory,
    truth: Trajectory | None,
    image: UInt8[np.ndarray, 'height width 3'],
    depth: Float[np.ndarray, 'rows columns'],
    title: str,
    subtitle: str,
) -> None:
    """Write a PNG with the path (and the truth, already aligned), one image and its depth.

    Args:
        path: the file to write.
        trajectory: the estimated path.
        truth: the true path in the same world, if known.
        image: RGB.
        depth: z in metres, NaN or 0 where unknown; its size may differ from the image's.
        title: the heading.
        subtitle: one line of figures below it.

    Raises:
        OutputError: the file exists already or cannot be written.
    """
    figure = new_figure(11.0, 7.0)
    head(figure, title, subtitle)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.2, 1.0), height_ratios=(1.0, 1.0))
    left = grid[:, 0].subgridspec(2, 1, height_ratios=(2.2, 1.0))
    top_view, side_view = choose_views(trajectory if truth is None else truth)
    top = figure.add_subplot(left[0])
    draw_path(top, top_view, trajectory, truth)
    top.legend(fontsize=8, frameon=False, loc='best')
    draw_path(figure.add_subplot(left[1]), side_view, trajectory, truth)
    _show(figure.add_subplot(grid[0, 1]), image, 'image')
    axes = figure.add_subplot(grid[1, 1])
    near, far = depth_limits(depth)
    _show(axes, depth_picture(depth), 'depth')
    known = float(np.mean(np.isfinite(depth) & (depth > 0)))
    axes.text(
        1.0,
        1.015,
        f'{near:.1f} m red to {far:.1f} m blue, {known:.0%} known',
        transform=axes.transAxes,
        ha='right',
        va='bottom',
        fontsize=8,
        color=INK,
    )
    save_png(figure, path)


def _show(axes: Axes, picture: UInt8[np.ndarray, 'height width 3'], title: str) -> None:
    dress(axes, title)
    axes.imshow(picture, interpolation='nearest')
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
