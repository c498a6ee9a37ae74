# SPDX-License-Identifier: Apache-2.0
"""Points gathered in cubes of space, so that memory grows with what was seen and not how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8

# A key holds three coordinates of 21 bits.
_BITS = 21
_REACH = 2 ** (_BITS - 1)
# Rows that are kept aside before they are sorted into the others: this many, or this share of
# those that are sorted already.
_ASIDE, _ASIDE_SHARE = 500_000, 0.25
# Cubes are sorted in so many groups, one at a time: what sorting takes for itself stays small.
_GROUPS = 16
# Columns of the sums: weight, weight times position, weight times colour, number of points.
_WEIGHT, _POSITION, _COLOR, _COUNT = 0, slice(1, 4), slice(4, 7), 7


@dataclass(frozen=True)
class Cloud:
    """Coloured points; P points.

    Attributes:
        positions: (P, 3) in the world.
        colors: (P, 3) red green blue.
        variance: (P,) along the line of sight, units squared: that of one observation, as errors
            of neighbouring depth maps are too much alike to average out.
    """

    positions: Float32[np.ndarray, 'p 3']
    colors: UInt8[np.ndarray, 'p 3']
    variance: Float32[np.ndarray, ' p']

    def __len__(self) -> int:
        return len(self.positions)


class VoxelGrid:
    """Averages all points that fall into the same cube, weighted by their certainty.

    Args:
        size: edge of a cube, units of the world.

    Points more than a million cubes away from the origin along an axis are left out.
    """

    def __init__(self, size: float) -> None:
        if not size > 0:
            raise ValueError(f'voxel size {size} is not positive')
        self._size = size
        self._groups: list[list[_Rows]] = [[_nothing()] for _ in range(_GROUPS)]
        self._sorted = self._aside = 0

    def add(
        self,
        positions: Float[np.ndarray, 'p 3'],
        colors: UInt8[np.ndarray, 'p 3'],
        variance: Float[np.ndarray, ' p'],
    ) -> None:
        """Take up points with the variance of their depth, units squared."""
        cells = np.floor(positions / self._size)
        near = (np.abs(cells) < _REACH).all(1)
        cells = cells[near].astype(np.int64) + _REACH
        keys = (cells[:, 0] << 2 * _BITS) | (cells[:, 1] << _BITS) | cells[:, 2]
        weight = 1.0 / variance[near]
        rows = np.empty((len(keys), 8))
        rows[:, _WEIGHT] = weight
        rows[:, _POSITION] = positions[near] * weight[:, None]
        rows[:, _COLOR] = colors[near] * weight[:, None]
        rows[:, _COUNT] = 1.0
        keys, rows = _merged(keys, rows)
        for number, group in enumerate(self._groups):
            own = keys % _GROUPS == number
            group.append((keys[own], rows[own]))
        self._aside += len(keys)
        # Sorting all of them again each time would make long recordings slow.
        if self._aside > max(_ASIDE, _ASIDE_SHARE * self._sorted):
            self._settle()

    def cloud(self) -> Cloud:
        """Return one point for each cube that holds any."""
        self._settle()
        keys = np.concatenate([group[0][0] for group in self._groups])
        order = np.argsort(keys)
        del keys
        parts = [_points(group[0][1]) for group in self._groups]
        return Cloud(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))

    def _settle(self) -> None:
        for group in self._groups:
            keys = np.concatenate([part[0] for part in group])
            rows = np.concatenate([part[1] for part in group])
            group[:] = [_merged(keys, rows)]
        self._sorted = sum(len(group[0][0]) for group in self._groups)
        self._aside = 0


_Rows = tuple[Int64[np.ndarray, ' v'], Float[np.ndarray, 'v 8']]


def _nothing() -> _Rows:
    return np.zeros(0, np.int64), np.zeros((0, 8))


def _points(
    rows: Float[np.ndarray, 'v 8'],
) -> tuple[Float32[np.ndarray, 'v 3'], UInt8[np.ndarray, 'v 3'], Float32[np.ndarray, ' v']]:
    """Return position, colour and variance of cubes."""
    weight = rows[:, [_WEIGHT]]
    return (
        (rows[:, _POSITION] / weight).astype(np.float32),
        np.rint(rows[:, _COLOR] / weight).astype(np.uint8),
        (rows[:, _COUNT] / weight[:, 0]).astype(np.float32),
    )


def _merged(
    keys: Int64[np.ndarray, ' p'], rows: Float[np.ndarray, 'p 8']
) -> tuple[Int64[np.ndarray, ' v'], Float[np.ndarray, 'v 8']]:
    """Return each key once, sorted, with the sum of its rows."""
    if not len(keys):
        return keys, rows
    order = np.argsort(keys, kind='stable')
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    return keys[starts], np.add.reduceat(rows[order], starts)
