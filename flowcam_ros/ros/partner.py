# SPDX-License-Identifier: Apache-2.0
"""Which second image each image is paired with: depth, right, or none."""

from __future__ import annotations

import time
from collections.abc import Callable

DEPTH, RIGHT, NONE = 'depth/image', 'right/image', ''

# A camera's topics become known within tenths of a second; after this none is expected any more.
_DISCOVERY_S = 1.0


class PartnerChoice:
    """Decides once per epoch, so that the scale source cannot change from image to image.

    Args:
        source: the option depth.source.
        count_publishers: returns how many publishers the topic of a role has.

    Attributes:
        chosen: DEPTH, RIGHT or NONE; None while undecided. May be set by who sees a pair first.
    """

    def __init__(self, source: str, count_publishers: Callable[[str], int]) -> None:
        self._fixed = {'sensor': DEPTH, 'stereo': RIGHT, 'none': NONE}.get(source)
        self._count_publishers = count_publishers
        self._asked_first: float | None = None
        self.chosen = self._fixed

    def candidates(self) -> tuple[str, ...]:
        """Return the roles that images may have to be paired with."""
        if self.chosen is None:
            return DEPTH, RIGHT
        return (self.chosen,) if self.chosen != NONE else ()

    def choose(self) -> str | None:
        """Return DEPTH, RIGHT or NONE; None while it is too early to say. Call per image."""
        if self.chosen is None:
            self.chosen = self._look()
        return self.chosen

    def _look(self) -> str | None:
        for role in (DEPTH, RIGHT):
            if self._count_publishers(role):
                return role
        now = time.monotonic()
        if self._asked_first is None:
            self._asked_first = now
        return NONE if now - self._asked_first > _DISCOVERY_S else None

    def again(self) -> None:
        """Decide anew with the next image, unless the option is fixed."""
        self._asked_first, self.chosen = None, self._fixed
