# SPDX-License-Identifier: Apache-2.0
"""The look shared by all pictures, drawn without a window and without global state."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from flowcam_ros.export.atomic import write_bytes
from flowcam_ros.visualization.colors import GRID, INK


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of ``width`` x ``height`` inches at 120 dots per inch."""
    figure = Figure(figsize=(width, height), dpi=120, facecolor='white', layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, title: str, x_label: str = '', y_label: str = '') -> None:
    """Give the axes their title, labels, light grid and quiet frame."""
    axes.set_title(title, fontsize=10, color=INK, loc='left', pad=6)
    axes.set_xlabel(x_label, fontsize=9, color=INK)
    axes.set_ylabel(y_label, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def head(figure: Figure, title: str, subtitle: str) -> None:
    """Write the heading, what it is in bold and the figures below it, and keep room for it."""
    inch = 1.0 / figure.get_figheight()
    left = 0.16 / figure.get_figwidth()
    figure.text(
        left, 1.0 - 0.16 * inch, title, fontsize=13, fontweight='bold', color=INK, va='top'
    )
    figure.text(left, 1.0 - 0.44 * inch, subtitle, fontsize=9.5, color=INK, va='top')
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)  # new_figure made it so
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - 0.72 * inch), w_pad=0.1, h_pad=0.1)


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as a new PNG file.

    Raises:
        OutputError: the file exists already or cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    write_bytes(path, buffer.getvalue())
