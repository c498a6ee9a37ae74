# SPDX-License-Identifier: Apache-2.0
"""Windows brought into one world: a graph of similarities (Strasdat et al. 2010).

Scale drifts from window to window as place and direction do; where a path comes back to a place,
the graph spreads what does not fit over all windows of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.sparse import coo_matrix, kron
from scipy.sparse.csgraph import connected_components

from flowcam_ros.flowmap.window_relation import Relation
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.geometry.similarity import inverse, similarity

# Errors beyond this many sigmas count by their length, not by its square.
_ROBUST = 3.0
# A loop that lies so many sigmas off what all others say is a mistake.
_MOST_SIGMAS = 15.0


def join(
    windows: Sequence[range], sizes: Sequence[int], relations: Sequence[Relation]
) -> list[Matrix4 | None]:
    """Return world_from_window of each window of the largest group that hangs together.

    The world is that of the group's first window. Windows of other groups are None.

    Args:
        windows: the frames of each.
        sizes: how many frames of each are held by enough points.
        relations: between windows; those of windows without common frames close loops, and are
            left out where they contradict the others.
    """
    kept = list(relations)
    while True:
        group = _largest_group(sizes, kept)
        worlds = _solved(_chained(group, len(sizes), kept), kept)
        wrong = _contradiction(worlds, windows, kept)
        if wrong is None:
            return worlds
        kept.remove(wrong)


def _largest_group(sizes: Sequence[int], relations: Sequence[Relation]) -> list[int]:
    ends = np.array([(r.first, r.second) for r in relations], np.int64).reshape(-1, 2)
    shape = (len(sizes), len(sizes))
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape)
    label = connected_components(graph, directed=False)[1]
    largest = np.bincount(label, sizes).argmax()
    return [int(k) for k in np.flatnonzero(label == largest)]


def _chained(
    group: Sequence[int], windows: int, relations: Sequence[Relation]
) -> list[Matrix4 | None]:
    """Go from the first window of the group by the relations that most points agree on."""
    worlds: list[Matrix4 | None] = [None] * windows
    worlds[group[0]] = np.eye(4)
    best_first = sorted(relations, key=lambda r: -r.points)
    for _ in group[1:]:
        for relation in best_first:
            first, second = worlds[relation.first], worlds[relation.second]
            if first is not None and second is None:
                worlds[relation.second] = first @ relation.first_from_second
                break
            if second is not None and first is None:
                worlds[relation.first] = second @ inverse(relation.first_from_second)
                break
    return worlds


def _solved(start: list[Matrix4 | None], relations: Sequence[Relation]) -> list[Matrix4 | None]:
    """Return the worlds under which all relations together are most likely."""
    placed = [k for k, world in enumerate(start) if world is not None]
    used = [r for r in relations if start[r.first] is not None]
    free = placed[1:]
    if not free:
        return start

    def moved(steps: Float[np.ndarray, ' m']) -> list[Matrix4 | None]:
        worlds = list(start)
        for k, step in zip(free, steps.reshape(-1, 7), strict=True):
            world = start[k]
            assert world is not None
            worlds[k] = world @ similarity(step)
        return worlds

    def errors(steps: Float[np.ndarray, ' m']) -> np.ndarray:
        worlds = moved(steps)
        return np.concatenate([_error(r, worlds) for r in used])

    fit = least_squares(
        errors,
        np.zeros(7 * len(free)),
        loss='soft_l1',
        f_scale=_ROBUST,
        x_scale='jac',
        jac_sparsity=_touched(used, free),
    )
    return moved(fit.x)


def _touched(relations: Sequence[Relation], free: Sequence[int]) -> coo_matrix:
    """Return which windows each relation depends on, as a pattern of (7 r, 7 w)."""
    place = {window: column for column, window in enumerate(free)}
    ends = [
        (row, place[window])
        for row, relation in enumerate(relations)
        for window in (relation.first, relation.second)
        if window in place
    ]
    rows, columns = np.array(ends).T
    pattern = coo_matrix((np.ones(len(ends)), (rows, columns)), (len(relations), len(free)))
    return coo_matrix(kron(pattern, np.ones((7, 7))))


def _contradiction(
    worlds: Sequence[Matrix4 | None], windows: Sequence[range], relations: Sequence[Relation]
) -> Relation | None:
    """Return the loop that is furthest off, if it is a mistake."""
    off = [
        (float(np.linalg.norm(_error(r, worlds))), r)
        for r in relations
        if not _share_frames(windows[r.first], windows[r.second]) and worlds[r.first] is not None
    ]
    if not off:
        return None
    most, relation = max(off, key=lambda pair: pair[0])
    return relation if most > _MOST_SIGMAS else None


def _share_frames(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def _error(relation: Relation, worlds: Sequence[Matrix4 | None]) -> np.ndarray:
    first, second = worlds[relation.first], worlds[relation.second]
    assert first is not None
    assert second is not None
    return relation.root_information @ relation.error(first, second)
