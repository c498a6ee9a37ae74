# SPDX-License-Identifier: Apache-2.0
"""Count what could not be read, and say it in sentences."""

from __future__ import annotations


class LossLog:
    """Losses by kind: how often, and what the first one was.

    Attributes:
        sentences: the losses so far, one sentence a kind; always the same list.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._lasting: list[str] = []
        self._counted: dict[str, tuple[int, str]] = {}

    def note(self, sentence: str) -> None:
        """Add a sentence that stays when the sequence is read again."""
        self._lasting.append(sentence)
        self._update()

    def count(self, what: str, first: str) -> None:
        """Count one more of a kind, e.g. ``images on /camera could not be decoded``."""
        number, example = self._counted.get(what, (0, first))
        self._counted[what] = (number + 1, example)
        self._update()

    def say(self, sentence: str) -> None:
        """Add a sentence that is forgotten when the sequence is read again."""
        self._counted[sentence] = (0, '')
        self._update()

    def restart(self) -> None:
        """Forget what was counted: the sequence is read from the start again."""
        self._counted.clear()
        self._update()

    def _update(self) -> None:
        counted = [
            f'{number} {what} (first: {first})' if number else what
            for what, (number, first) in self._counted.items()
        ]
        self.sentences[:] = self._lasting + counted
