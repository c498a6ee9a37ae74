# SPDX-License-Identifier: Apache-2.0
"""A small COLMAP folder with pictures: a wall of coloured squares."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, FOCAL, WALL_M = 64, 48, 60.0, 3.0


def write_scene(folder: Path, views: int = 12, distortion: float = 0.0) -> Path:
    """Write a wall of coloured squares, past which the camera slides 5 cm a view, for COLMAP."""
    rng = np.random.default_rng(0)
    model = folder / 'sparse' / '0'
    model.mkdir(parents=True)
    (folder / 'images').mkdir()
    values = (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, distortion, 0.0, 0.0, 0.0)
    camera = struct.pack('<QIiQQ8d', 1, 1, 4, WIDTH, HEIGHT, *values)
    (model / 'cameras.bin').write_bytes(camera)
    squares = rng.integers(30, 226, (12, 20, 3), np.uint8)
    content = struct.pack('<Q', views)
    for k in range(views):
        content += struct.pack('<I7dI', k + 1, 1.0, 0.0, 0.0, 0.0, -0.05 * k, 0.0, 0.0, 1)
        content += f'{k:04d}.png'.encode() + b'\0' + struct.pack('<Q', 0)
        column = np.arange(WIDTH) + 0.05 * k * FOCAL / WALL_M
        row = np.arange(HEIGHT)
        picture = squares[np.ix_((row // 5), (column // 5).astype(int))]
        cv2.imwrite(str(folder / 'images' / f'{k:04d}.png'), picture)
    (model / 'images.bin').write_bytes(content)
    # A point in the middle of each square, of its colour.
    unit = WALL_M / FOCAL
    points = [
        ((5 * j + 2.5 - WIDTH / 2) * unit, (5 * i + 2.5 - HEIGHT / 2) * unit, WALL_M, *color)
        for i, row in enumerate(squares[:10, :15, ::-1].tolist())
        for j, color in enumerate(row)
    ]
    content = struct.pack('<Q', len(points))
    for k, point in enumerate(points):
        content += struct.pack('<Q3d3BdQ', k + 1, *point, 0.5, 0)
    (model / 'points3D.bin').write_bytes(content)
    return folder
