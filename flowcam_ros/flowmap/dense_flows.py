# SPDX-License-Identifier: Apache-2.0
"""Dense flow from each frame to some others, each pair of frames computed once.

Flow is trusted where the way there and back agrees, so both ways are there when one is asked for.
The way back is kept until its own turn comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from flowcam_ros.correspondence.dense_pairs import DensePair
from flowcam_ros.correspondence.flow import Flow

# Ways back that are kept at a time. More are computed anew, so that memory stays bounded.
_KEPT = 16
Pair = tuple[int, int]


def flows_by_frame(
    wanted: Mapping[int, Sequence[int]],
    compute: Callable[[Iterable[Pair]], Iterator[DensePair]],
) -> Iterator[tuple[int, list[Flow]]]:
    """Yield each frame with the flow from it to the frames it wants, in their order.

    Args:
        wanted: for each frame, in the order of the frames, the others.
        compute: returns the flow of pairs as it is asked for it, one after the other.
    """
    # the pairs are planned first, so that what computes them sees them all and can read ahead
    computed = compute(pair for frame in plan(wanted) for pair in frame[1] if pair is not None)
    kept: dict[Pair, Flow] = {}
    for frame, pairs, keep in plan(wanted):
        flows = []
        for other, pair in zip(wanted[frame], pairs, strict=True):
            if pair is None:
                flows.append(kept.pop((frame, other)))
                continue
            found = next(computed)
            flows.append(found.forward)
            if other in keep:
                kept[other, frame] = found.backward
        yield frame, flows


def plan(
    wanted: Mapping[int, Sequence[int]],
) -> Iterator[tuple[int, list[Pair | None], set[int]]]:
    """Yield each frame, the pairs to compute for it (None: kept), and whose way back to keep."""
    place = {frame: number for number, frame in enumerate(wanted)}
    kept: set[Pair] = set()
    for frame, others in wanted.items():
        pairs: list[Pair | None] = []
        keep: set[int] = set()
        for other in others:
            if (frame, other) in kept:
                kept.remove((frame, other))
                pairs.append(None)
                continue
            pairs.append((frame, other))
            later = place.get(other, -1) > place[frame]
            if later and frame in wanted[other] and len(kept) < _KEPT:
                kept.add((other, frame))
                keep.add(other)
        yield frame, pairs, keep
