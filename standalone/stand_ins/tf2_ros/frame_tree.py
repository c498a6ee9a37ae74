# SPDX-License-Identifier: Apache-2.0
"""The frames, their parents in time, and the way between two of them."""

from __future__ import annotations

from typing import TypeVar

from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
)
from tf2_ros.rigid import IDENTITY, Rigid, compose, inverse
from tf2_ros.time_cache import Link, StaticCache, TimeCache, seconds

Value = TypeVar('Value')


class FrameTree:
    """A tree of frames that changes in time; all times in nanoseconds, 0 meaning the latest."""

    def __init__(self, cache_time: int) -> None:
        self._cache_time = cache_time
        self._caches: dict[str, StaticCache | TimeCache] = {}
        self._senders: dict[str, str] = {}
        self._frames: dict[str, None] = {}

    def insert(self, frame: str, link: Link, sender: str, static: bool) -> bool:
        """Take over where `frame` is; False if that is too old to be kept."""
        cache = self._caches.get(frame)
        if not isinstance(cache, StaticCache if static else TimeCache):
            cache = StaticCache() if static else TimeCache(self._cache_time)
            self._caches[frame] = cache
        if not cache.insert(link):
            return False
        self._senders[frame] = sender
        self._frames.setdefault(frame)
        self._frames.setdefault(link.parent)
        return True

    def clear(self) -> None:
        """Forget all transforms; the names of the frames stay."""
        for cache in self._caches.values():
            cache.clear()

    def names(self) -> list[str]:
        """Return every frame that was ever named."""
        return list(self._frames)

    def lookup(self, target: str, source: str, stamp: int) -> tuple[int, Rigid]:
        """Return the time that was looked at, and ``target_from_source`` then.

        Raises:
            InvalidArgumentException: a frame name is empty or begins with a slash.
            LookupException: a frame is not known.
            ConnectivityException: no chain of transforms connects the frames.
            ExtrapolationException: the chain is not known at `stamp`.
        """
        if target == source:
            latest = self._caches[target].latest() if target in self._caches else None
            return stamp or (latest.stamp if latest else 0), IDENTITY
        self.validate(target_frame=target, source_frame=source)
        stamp = stamp or self.latest_common_time(target, source)
        source_chain, source_error = self._climb(source, stamp)
        target_chain, target_error = self._climb(target, stamp)
        common = _first_common(source_chain, target_chain)
        if common is None:
            error = target_error or source_error
            if error is None:
                raise ConnectivityException(_unconnected(target, source))
            raise ExtrapolationException(
                f'{error}, when looking up transform from frame [{source}] to frame [{target}]'
            )
        return stamp, compose(inverse(target_chain[common]), source_chain[common])

    def latest_common_time(self, target: str, source: str) -> int:
        """Return the newest time at which the whole way is known; 0 if it is static.

        Raises:
            ConnectivityException: no chain of transforms connects the frames.
        """
        source_chain = self._climb_latest(source)
        target_chain = self._climb_latest(target)
        common = _first_common(source_chain, target_chain)
        if common is None:
            raise ConnectivityException(_unconnected(target, source))
        return _older(source_chain[common], target_chain[common])

    def validate(self, **frames: str) -> None:
        """Raise InvalidArgumentException or LookupException for a frame that cannot be used."""
        for role, frame in frames.items():
            problem = self.problem(frame)
            argument = f'"{frame}" passed to lookupTransform argument {role}'
            if problem == 'frame does not exist':
                raise LookupException(f'{argument} does not exist. ')
            if problem:
                raise InvalidArgumentException(f'Invalid argument {argument} - {problem}')

    def problem(self, frame: str) -> str | None:
        """Return why a frame cannot be looked up; None if it can."""
        if not frame:
            return 'in tf2 frame_ids cannot be empty'
        if frame.startswith('/'):
            return "in tf2 frame_ids cannot start with a '/'"
        return None if frame in self._frames else 'frame does not exist'

    def as_string(self) -> str:
        """Return a line for each frame that has a parent."""
        return ''.join(
            f'Frame {frame} exists with parent {link.parent if link else "NO_PARENT"}.\n'
            for frame, cache in self._caches.items()
            for link in [cache.latest()]
        )

    def as_yaml(self) -> str:
        """Return the parent, sender, rate and time span of each frame as YAML."""
        return ''.join(map(self._frame_as_yaml, self._caches)) if self._frames else '[]'

    def _frame_as_yaml(self, frame: str) -> str:
        cache = self._caches[frame]
        link = cache.latest()
        if link is None:
            return ''
        oldest, newest, count = cache.span()
        length = (newest - oldest) / 1e9
        return (
            f"{frame}: \n  parent: '{link.parent}'\n  broadcaster: '{self._senders[frame]}'\n"
            f'  rate: {count / max(length, 1e-4):.3f}\n'
            f'  most_recent_transform: {seconds(newest)}\n'
            f'  oldest_transform: {seconds(oldest)}\n  buffer_length: {length:.3f}\n'
        )

    def _climb(
        self, frame: str, stamp: int
    ) -> tuple[dict[str, Rigid], ExtrapolationException | None]:
        """Return ``ancestor_from_frame`` of each ancestor known at `stamp`, and what ended it."""
        chain = {frame: IDENTITY}
        ancestor_from_frame = IDENTITY
        while frame in self._caches:
            try:
                link = self._caches[frame].at(stamp)
            except ExtrapolationException as error:
                return chain, error
            if link is None:
                break
            ancestor_from_frame = compose(link.parent_from_child, ancestor_from_frame)
            frame = self._refuse_loop(link.parent, chain)
            chain[frame] = ancestor_from_frame
        return chain, None

    def _climb_latest(self, frame: str) -> dict[str, int]:
        """Return for each ancestor the newest time of the way to it; 0 if that is static."""
        chain = {frame: 0}
        newest = 0
        while frame in self._caches:
            link = self._caches[frame].latest()
            if link is None:
                break
            newest = _older(newest, link.stamp)
            frame = self._refuse_loop(link.parent, chain)
            chain[frame] = newest
        return chain

    def _refuse_loop(self, frame: str, chain: dict[str, Value]) -> str:
        if frame in chain:
            raise LookupException(
                f'The tf tree is invalid because it contains a loop.\n{self.as_string()}'
            )
        return frame


def _first_common(chain: dict[str, Value], other: dict[str, Value]) -> str | None:
    return next((frame for frame in chain if frame in other), None)


def _older(stamp: int, other: int) -> int:
    """Return the older of two times, of which 0 is none."""
    return min((t for t in (stamp, other) if t), default=0)


def _unconnected(target: str, source: str) -> str:
    return (
        f"Could not find a connection between '{target}' and '{source}' because they are not part "
        'of the same tree.Tf has two or more unconnected trees.'
    )
