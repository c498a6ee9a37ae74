# SPDX-License-Identifier: Apache-2.0
"""Pair each picture of a stream with what another stream took at nearly the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# A picture waits this long for its partners, and streams are held back up to this many bytes.
_LONGEST_WAIT_NS = 1_000_000_000
_MOST_BYTES = 256 * 2**20
# Some partners are missing in every live recording; only more than this share is worth a word.
_USUAL_UNPAIRED = 0.1


@dataclass
class Stamped:
    """Something with a stamp (integer nanoseconds) that occupies ``size`` bytes."""

    stamp_ns: int
    content: Any
    size: int = 0


@dataclass
class Pair:
    """A picture and its partner from each other stream; None where there is none near enough."""

    picture: Stamped
    partners: dict[str, Stamped | None] = field(default_factory=dict)


class NearestPairing:
    """Join streams by nearest stamp, holding back only a bounded part of them.

    Every picture comes out exactly once and in the order it went in. It waits until each partner
    stream has passed it in time, for at most a second, and less when memory runs out.

    Args:
        streams: names of the partner streams.
        tolerance_ns: farthest apart that a picture and its partner may be.
    """

    def __init__(self, streams: tuple[str, ...], tolerance_ns: int) -> None:
        self._tolerance = tolerance_ns
        self._pictures: deque[Stamped] = deque()
        self._partners: dict[str, deque[Stamped]] = {name: deque() for name in streams}
        self._bytes = 0

    def add_picture(self, item: Stamped) -> Iterator[Pair]:
        """Take a picture; yield every picture that need not wait any longer."""
        self._pictures.append(item)
        self._bytes += item.size
        yield from self._ready(item.stamp_ns)

    def add_partner(self, stream: str, item: Stamped) -> Iterator[Pair]:
        """Take a partner; yield every picture that need not wait any longer."""
        queue = self._partners[stream]
        queue.append(item)
        self._bytes += item.size
        if not self._pictures:
            self._forget(queue, item.stamp_ns - _LONGEST_WAIT_NS)
            while self._bytes > _MOST_BYTES and len(queue) > 1:
                self._bytes -= queue.popleft().size
        yield from self._ready(item.stamp_ns)

    def flush(self) -> Iterator[Pair]:
        """Yield the pictures that still wait: the recording has ended."""
        while self._pictures:
            yield self._release()

    def _ready(self, now_ns: int) -> Iterator[Pair]:
        while self._pictures and (
            self._passed(self._pictures[0].stamp_ns)
            or now_ns - self._pictures[0].stamp_ns > _LONGEST_WAIT_NS
            or self._bytes > _MOST_BYTES
        ):
            yield self._release()

    def _passed(self, stamp_ns: int) -> bool:
        return all(queue and queue[-1].stamp_ns >= stamp_ns for queue in self._partners.values())

    def _release(self) -> Pair:
        picture = self._pictures.popleft()
        self._bytes -= picture.size
        pair = Pair(picture)
        for name, queue in self._partners.items():
            pair.partners[name] = self._nearest(queue, picture.stamp_ns)
            self._forget(queue, picture.stamp_ns - self._tolerance)
        return pair

    def _nearest(self, queue: deque[Stamped], stamp_ns: int) -> Stamped | None:
        best = min(queue, key=lambda item: abs(item.stamp_ns - stamp_ns), default=None)
        if best is None or abs(best.stamp_ns - stamp_ns) > self._tolerance:
            return None
        return best

    def _forget(self, queue: deque[Stamped], before_ns: int) -> None:
        while queue and queue[0].stamp_ns < before_ns:
            self._bytes -= queue.popleft().size


def unpaired_sentence(stream: str, unpaired: int, pictures: int, tolerance_s: float) -> str:
    """Return what to tell the user about pictures without a partner; '' if it is not much."""
    if unpaired <= _USUAL_UNPAIRED * pictures:
        return ''
    return (
        f'{unpaired} of {pictures} pictures have no {stream} image within {tolerance_s:g} s '
        '(a larger time difference may be allowed if the two are not taken together)'
    )
