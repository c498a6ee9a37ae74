# SPDX-License-Identifier: Apache-2.0
"""Pairs an image with the depth or right image of the same instant, without waiting in vain.

message_filters.ApproximateTimeSynchronizer takes the first partner within its slop, so that one
lost message can shift all later pairs by a frame, and it starves after time went back (a bag that
loops). This filter takes the nearest partner, knows when no nearer one can come, and starts again
when time jumps.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from message_filters import SimpleFilter

from flowcam_ros.ros.conversions import stamp_ns

# A stamp this much older than the last one of its topic means that time went back.
_TIME_JUMP_NS = 500_000_000


class Pairing(SimpleFilter):
    """Calls back with (image, partner) for each image that has a partner.

    Args:
        max_interval: largest difference of the stamps, seconds; 0 pairs equal stamps only.
        queue_size: unpaired messages kept per input.

    Attributes:
        unpaired: number of images that were given up for want of a partner.
    """

    def __init__(self, max_interval: float, queue_size: int) -> None:
        super().__init__()
        self._max_interval_ns = round(max_interval * 1e9)
        self._images = _Queue(queue_size)
        self._partners = _Queue(queue_size)
        self.unpaired = 0

    def add_image(self, image: Any) -> None:
        """Take an image."""
        self._add(self._images, image)

    def add_partner(self, partner: Any) -> None:
        """Take a depth or right image."""
        self._add(self._partners, partner)

    def clear(self) -> None:
        """Forget unpaired messages."""
        self._images.clear()
        self._partners.clear()

    def _add(self, queue: _Queue, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        if queue.newest is not None and stamp < queue.newest - _TIME_JUMP_NS:
            # The other input may have jumped already: keep what it has of the new time.
            queue.clear()
            for other in (self._images, self._partners):
                if other.newest is not None and other.newest > stamp + _TIME_JUMP_NS:
                    other.clear()
        dropped = queue.add(stamp, message)
        if queue is self._images:
            self.unpaired += dropped
        self._match()

    def _match(self) -> None:
        """Call back for every image whose partner is certain."""
        for stamp in sorted(self._images.messages):
            nearest = self._nearest(stamp)
            if nearest is None:
                continue
            image = self._images.messages.pop(stamp)
            partner = self._partners.messages.pop(nearest)
            self.unpaired += self._images.discard_before(stamp)
            self._partners.discard_before(nearest)
            self.signalMessage(image, partner)

    def _nearest(self, stamp: int) -> int | None:
        """Return the stamp of the partner to take; None if there is none, or a nearer may come."""
        if stamp in self._partners.messages:
            return stamp
        if not self._partners.messages or self._max_interval_ns == 0:
            return None
        nearest = min(self._partners.messages, key=lambda s: abs(s - stamp))
        if abs(nearest - stamp) > self._max_interval_ns:
            return None
        newest = self._partners.newest
        assert newest is not None
        if newest >= stamp:
            return nearest
        # The next partner comes a period after the newest: is this one surely nearer than that?
        period = self._partners.period
        settled = (
            period is not None and stamp - nearest <= abs(newest + period - stamp) - period / 8
        )
        return nearest if settled else None


class _Queue:
    """Messages of one topic by stamp, bounded; knows the newest stamp and the usual period."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.clear()

    def clear(self) -> None:
        self.messages: dict[int, Any] = {}
        self.newest: int | None = None
        self._steps: deque[int] = deque(maxlen=8)

    @property
    def period(self) -> int | None:
        """The shortest recent step: messages get lost, but none are made up."""
        return min(self._steps, default=None)

    def add(self, stamp: int, message: Any) -> int:
        """Keep a message; return how many old ones went for it."""
        if self.newest is None or stamp > self.newest:
            if self.newest is not None:
                self._steps.append(stamp - self.newest)
            self.newest = stamp
        self.messages[stamp] = message
        surplus = sorted(self.messages)[: max(0, len(self.messages) - self._size)]
        for old in surplus:
            del self.messages[old]
        return len(surplus)

    def discard_before(self, stamp: int) -> int:
        old = [s for s in self.messages if s < stamp]
        for s in old:
            del self.messages[s]
        return len(old)
