# SPDX-License-Identifier: Apache-2.0
"""Point clouds as binary PLY files, which CloudCompare, MeshLab and Open3D read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.export.atomic import new_file

# Points turned into bytes at a time.
_BLOCK = 1_000_000
_TYPES = {'<f4': 'float', 'u1': 'uchar'}


def write_ply(
    path: Path,
    positions: Float[np.ndarray, 'p 3'],
    colors: UInt8[np.ndarray, 'p 3'],
    variance: Float[np.ndarray, ' p'] | None = None,
    comment: str = '',
) -> None:
    """Write a new PLY file, little-endian; the arrays may be larger than memory (memmap).

    Args:
        path: the file.
        positions: (P, 3); stored as float32.
        colors: (P, 3) red green blue.
        variance: (P,) of the positions, units squared; the property ``variance`` if given.
        comment: one line for the header.

    Raises:
        OutputError: the file exists already or cannot be written.
        ValueError: the arrays differ in length, or the comment has line breaks or is no ASCII.
    """
    count = len(positions)
    if len(colors) != count or (variance is not None and len(variance) != count):
        raise ValueError('a cloud needs a colour (and a variance) for each point')
    if not comment.isascii() or len(comment.splitlines()) > 1:
        raise ValueError(f'{comment!r} is no comment of one plain line')
    fields = [(name, '<f4') for name in 'xyz'] + [(n, 'u1') for n in ('red', 'green', 'blue')]
    if variance is not None:
        fields.append(('variance', '<f4'))
    with new_file(path) as file:
        file.write(_header(count, fields, comment).encode())
        for start in range(0, count, _BLOCK):
            part = slice(start, min(start + _BLOCK, count))
            block = np.empty(part.stop - part.start, np.dtype(fields))
            for axis, name in enumerate('xyz'):
                block[name] = positions[part, axis]
            for channel, name in enumerate(('red', 'green', 'blue')):
                block[name] = colors[part, channel]
            if variance is not None:
                block['variance'] = variance[part]
            file.write(block.tobytes())


def _header(count: int, fields: list[tuple[str, str]], comment: str) -> str:
    lines = ['ply', 'format binary_little_endian 1.0']
    lines += [f'comment {comment}'] if comment else []
    lines += [f'element vertex {count}']
    lines += [f'property {_TYPES[kind]} {name}' for name, kind in fields]
    return '\n'.join([*lines, 'end_header\n'])
