# SPDX-License-Identifier: Apache-2.0
"""Which surfaces each cell of an image may show: decided for whole cells where it can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from flowcam_ros.sequences.synthetic.lens import Boxes, Lens
from flowcam_ros.sequences.synthetic.scene import SurfacesInView


@dataclass(frozen=True)
class Candidates:
    """What may be seen in each cell; numbers count the surfaces in view.

    Attributes:
        whole: (cells,) the panel that fills the cell, or -1.
        mixed: (n,) the other cells.
        lists: (n, k) the surfaces that may be seen in them, the last number (nothing) fills up.
    """

    whole: Int[np.ndarray, ' cells']
    mixed: Int[np.ndarray, ' n']
    lists: Int[np.ndarray, 'n k']


def find_candidates(lens: Lens, view: SurfacesInView) -> Candidates:
    """Sort the surfaces into cells, coarse blocks first."""
    everything = np.arange(len(view.surface))
    lists = np.broadcast_to(everything, (len(lens.blocks.middle), len(everything)))
    lists, block_pure = _sift(view, lens.blocks, lists)
    cells = _cells_of_blocks(lens)
    whole = np.full(lens.rows * lens.columns, -1, np.intp)
    whole[cells[block_pure]] = lists[block_pure, :1]
    open_cells = cells[~block_pure].ravel()
    open_lists = np.repeat(lists[~block_pure], cells.shape[1], axis=0)
    open_lists, pure = _sift(view, lens.cells[open_cells], open_lists)
    whole[open_cells[pure]] = open_lists[pure, 0]
    return Candidates(whole, open_cells[~pure], open_lists[~pure])


def _cells_of_blocks(lens: Lens) -> Int[np.ndarray, 'blocks 16']:
    cells = np.arange(lens.rows * lens.columns).reshape(lens.rows // 4, 4, lens.columns // 4, 4)
    return cells.swapaxes(1, 2).reshape(-1, 16)


def _sift(
    view: SurfacesInView, boxes: Boxes, lists: Int[np.ndarray, 'n k']
) -> tuple[Int[np.ndarray, 'n j'], Bool[np.ndarray, ' n']]:
    """Return the shortened list of each cell, and whether one panel fills the cell alone.

    A linear function over a box of rays lies within its value in the middle plus or minus its
    reach: surfaces that fail a test everywhere go, and so do those behind a panel that passes
    all of its tests everywhere.
    """
    x, y = boxes.middle[:, 0:1], boxes.middle[:, 1:2]
    half_x, half_y = boxes.half[:, 0:1], boxes.half[:, 1:2]
    possible, covers = np.ones(lists.shape, bool), view.is_panel[lists]
    for test in range(view.tests.shape[1]):
        by_x, by_y, constant = (view.tests[:, test, i][lists] for i in range(3))
        middle = by_x * x + by_y * y + constant
        reach = np.abs(by_x) * half_x + np.abs(by_y) * half_y
        most, least = middle + reach, middle - reach
        possible &= most > 0
        covers &= least > 0
        if test == 0:
            nearest, farthest = most, least
    wall = np.where(covers, farthest, 0.0).max(1)
    keep = possible & (nearest >= wall[:, None])
    count = keep.sum(1)
    first = np.argsort(~keep, axis=1, kind='stable')[:, : max(1, count.max(initial=0))]
    short = np.take_along_axis(lists, first, 1)
    pure = (count == 1) & np.take_along_axis(covers, first[:, :1], 1)[:, 0]
    short[np.arange(first.shape[1]) >= count[:, None]] = len(view.surface) - 1
    return short, pure
