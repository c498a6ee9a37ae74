# SPDX-License-Identifier: Apache-2.0
"""The recent past of one frame below its parent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from tf2_ros.exceptions import ExtrapolationException
from tf2_ros.rigid import Rigid, interpolate


class Link(NamedTuple):
    """A frame seen from its parent at one time; `stamp` in nanoseconds."""

    stamp: int
    parent: str
    parent_from_child: Rigid


class StaticCache:
    """One transform that holds at every time."""

    def __init__(self) -> None:
        self._link: Link | None = None

    def insert(self, link: Link) -> bool:
        """Take over `link`; always possible."""
        self._link = link._replace(stamp=0)
        return True

    def at(self, stamp: int) -> Link | None:
        """Return the link at `stamp`; None if there is none at all."""
        return self._link and self._link._replace(stamp=stamp)

    def latest(self) -> Link | None:
        """Return the link, with stamp 0 for "at every time"."""
        return self._link

    def span(self) -> tuple[int, int, int]:
        """Return the oldest stamp, the newest one and the number of links."""
        return 0, 0, int(self._link is not None)

    def clear(self) -> None:
        """Keep the link, as tf2 does: what holds at every time outlives a jump of time."""


class TimeCache:
    """The links of the last `duration` nanoseconds, in order of time."""

    def __init__(self, duration: int) -> None:
        self._duration = duration
        self._stamps: list[int] = []
        self._links: list[Link] = []

    def insert(self, link: Link) -> bool:
        """Take over `link` at its place in time; False if it is too old to be kept.

        Of two links with the same stamp the later insertion holds.
        """
        if self._stamps and link.stamp < self._stamps[-1] - self._duration:
            return False
        place = bisect_left(self._stamps, link.stamp)
        known = place < len(self._stamps) and self._stamps[place] == link.stamp
        self._stamps[place : place + known] = [link.stamp]
        self._links[place : place + known] = [link]
        expired = bisect_left(self._stamps, self._stamps[-1] - self._duration)
        del self._stamps[:expired], self._links[:expired]
        return True

    def at(self, stamp: int) -> Link | None:
        """Return the link at `stamp`, interpolated; None if there is none at all.

        Raises:
            ExtrapolationException: `stamp` is outside of the kept time.
        """
        if not self._links:
            return None
        if stamp == 0:
            return self._links[-1]
        self._require_inside(stamp)
        place = bisect_right(self._stamps, stamp) - 1
        older = self._links[place]
        if older.stamp == stamp:
            return older
        newer = self._links[place + 1]
        if older.parent != newer.parent:
            return older
        ratio = (stamp - older.stamp) / (newer.stamp - older.stamp)
        between = interpolate(older.parent_from_child, newer.parent_from_child, ratio)
        return Link(stamp, older.parent, between)

    def latest(self) -> Link | None:
        """Return the newest link; None if there is none."""
        return self._links[-1] if self._links else None

    def span(self) -> tuple[int, int, int]:
        """Return the oldest stamp, the newest one and the number of links."""
        if not self._stamps:
            return 0, 0, 0
        return self._stamps[0], self._stamps[-1], len(self._stamps)

    def clear(self) -> None:
        """Forget all links."""
        self._stamps.clear()
        self._links.clear()

    def _require_inside(self, stamp: int) -> None:
        oldest, newest, count = self.span()
        if oldest <= stamp <= newest:
            return
        if count == 1:
            raise ExtrapolationException(
                f'Lookup would require extrapolation at time {seconds(stamp)}, '
                f'but only time {seconds(newest)} is in the buffer'
            )
        where, which, limit = (
            ('future', 'latest', newest) if stamp > newest else ('past', 'earliest', oldest)
        )
        raise ExtrapolationException(
            f'Lookup would require extrapolation into the {where}.  Requested time '
            f'{seconds(stamp)} but the {which} data is at time {seconds(limit)}'
        )


def seconds(stamp: int) -> str:
    """Return nanoseconds as text in seconds."""
    return f'{stamp / 1e9:.6f}'
