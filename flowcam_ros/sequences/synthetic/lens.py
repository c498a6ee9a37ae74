# SPDX-License-Identifier: Apache-2.0
"""The rays along which a camera samples the world.

There are two samples per pixel and direction: sample (2 i + 1) is the centre of pixel i, those
between lie on the borders of pixels. Cells of 8 x 8 samples are decided together where they can
be, and blocks of 4 x 4 cells before them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import CameraError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import undistort

CELL = 8
BLOCK = 4 * CELL
# Rays of one cell in the order of its samples, by row and column parity: see `raster`.
HALF = CELL // 2


class Lens:
    """Sample rays (x, y, 1) of one camera and the boxes that enclose those of each cell.

    Attributes:
        camera: the camera.
        rows, columns: number of cells.
        x, y: ideal coordinates of the samples, broadcastable to (rows 8, columns 8), float32;
            one row and one column without distortion.

    Raises:
        CameraError: the lens model cannot be inverted in a corner of the image.
    """

    def __init__(self, camera: CameraModel) -> None:
        self.camera = camera
        self.columns = 4 * -(-(2 * camera.width + 1) // BLOCK)
        self.rows = 4 * -(-(2 * camera.height + 1) // BLOCK)
        # Samples that only fill up the last blocks repeat the image's edge.
        u = np.minimum(np.arange(self.columns * CELL), 2 * camera.width) * 0.5 - 0.5
        v = np.minimum(np.arange(self.rows * CELL), 2 * camera.height) * 0.5 - 0.5
        x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        full_x, full_y = np.meshgrid(x, y)
        if camera.is_distorted:
            ideal = undistort(camera, np.stack([full_x, full_y], axis=-1))
            if not np.isfinite(ideal).all():
                raise CameraError(
                    f'the {camera.distortion_model} lens turns back inside the image of '
                    f'{camera.width}x{camera.height} pixels; take weaker coefficients or a '
                    'smaller field of view'
                )
            full_x, full_y = np.moveaxis(ideal, -1, 0)
            x, y = full_x, full_y
        else:
            x, y = x[None, :], y[:, None]
        self.x, self.y = x.astype(np.float32), y.astype(np.float32)
        self.low = np.array([full_x.min(), full_y.min()])
        self.high = np.array([full_x.max(), full_y.max()])
        self._cell_x = _by_cell(full_x, CELL).astype(np.float32)
        self._cell_y = _by_cell(full_y, CELL).astype(np.float32)
        self.cells = _boxes(self._cell_x, self._cell_y)
        self.blocks = _boxes(_by_cell(full_x, BLOCK), _by_cell(full_y, BLOCK))

    def phase(self, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of every second sample, broadcastable to (rows, 4, 4 columns)."""

        def by_rows(part: np.ndarray) -> np.ndarray:
            return part.reshape(self.rows if part.shape[0] > 1 else 1, -1, part.shape[1])

        x = self.x[row % self.x.shape[0] :: 2, column::2]
        y = self.y[row::2, column % self.y.shape[1] :: 2]
        return by_rows(x), by_rows(y)

    def samples(self, cells: np.ndarray) -> Float[np.ndarray, 'n 3 samples']:
        """Return the 64 rays of each of the given cells, float32."""
        x, y = self._cell_x[cells], self._cell_y[cells]
        return np.stack([x, y, np.ones_like(x)], axis=1)


def _by_cell(values: np.ndarray, cell: int) -> np.ndarray:
    """Return (cells, cell * cell) values of an image, cells in reading order."""
    rows, columns = values.shape[0] // cell, values.shape[1] // cell
    split = values.reshape(rows, cell, columns, cell).swapaxes(1, 2)
    return np.ascontiguousarray(split).reshape(rows * columns, cell * cell)


class Boxes:
    """The middle and half size, in ideal coordinates, of the box round each cell's rays."""

    def __init__(self, middle: np.ndarray, half: np.ndarray) -> None:
        self.middle = middle
        self.half = half

    def __getitem__(self, index: np.ndarray | slice) -> Boxes:
        return Boxes(self.middle[index], self.half[index])


def _boxes(x: np.ndarray, y: np.ndarray) -> Boxes:
    low = np.stack([x.min(1), y.min(1)], axis=-1)
    high = np.stack([x.max(1), y.max(1)], axis=-1)
    middle = np.concatenate([0.5 * (low + high), np.ones((len(low), 1))], axis=-1)
    return Boxes(middle.astype(np.float32), (0.5 * (high - low) + 1e-6).astype(np.float32))
