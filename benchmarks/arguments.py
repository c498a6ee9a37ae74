# SPDX-License-Identifier: Apache-2.0
"""Words of the command line that several benchmarks share, and where they save what they find."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Collection
from pathlib import Path

_RESULTS = Path(__file__).resolve().parent / 'results'


def count(text: str) -> int:
    """Parse a positive number, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is not a positive number')
    return int(text)


def names(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return a parser of some of the known names, separated by commas, for argparse."""

    def parse_names(text: str) -> list[str]:
        found = text.split(',')
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join(known)}')
        return found

    return parse_names


def default_output(benchmark: str) -> Path:
    """Return a new Markdown file in ``results`` that carries the time in its name."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return _RESULTS / now.strftime(f'{benchmark}_%Y%m%d_%H%M%S.md')
