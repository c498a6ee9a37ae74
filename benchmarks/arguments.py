# SPDX-License-Identifier: Apache-2.0
"""Words of the command line that several benchmarks share, and where they save what they find."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from flowcam_ros.errors import FlowcamError

_INTERRUPTED = 130
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


def add_comparison(parser: argparse.ArgumentParser, runs: int, timeout_s: float) -> None:
    """Add what comparisons of systems on recordings have in common.

    Args:
        parser: gets the arguments.
        runs: default of ``--runs``.
        timeout_s: default of ``--timeout``.
    """
    parser.add_argument(
        'sequences', nargs='+', help='bags, folders or synthetic:NAME, with ground truth'
    )
    parser.add_argument('--output', type=Path, help='Markdown file; JSON is written beside it')
    parser.add_argument(
        '--runs',
        type=count,
        default=runs,
        metavar='COUNT',
        help='runs of which the median counts (%(default)s)',
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', help="this project's option"
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=timeout_s,
        metavar='SECONDS',
        help='for one system on one sequence (%(default)g)',
    )


def run_main(name: str, main: Callable[[], int]) -> NoReturn:
    """Run a benchmark and end the process; errors are told in a line.

    Args:
        name: of the benchmark.
        main: returns the exit code.
    """
    try:
        sys.exit(main())
    except FlowcamError as error:
        print(f'{name}: error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f'{name}: interrupted; nothing was saved', file=sys.stderr)
        sys.exit(_INTERRUPTED)
