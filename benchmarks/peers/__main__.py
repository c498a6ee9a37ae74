# SPDX-License-Identifier: Apache-2.0
"""This project beside other systems: accuracy, coverage, speed, memory and consistency.

``python -m benchmarks.peers SEQUENCE...``, run in the repository, prints tables and saves them;
see README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from benchmarks.arguments import add_comparison, default_output, names, run_main
from benchmarks.comparison import as_data, check_output, save
from benchmarks.machine import describe_machine
from benchmarks.peers.environment import prepare
from benchmarks.peers.registry import DEPTH_SOURCES, MODES, SYSTEMS
from benchmarks.peers.report import as_text
from benchmarks.peers.run import open_recording, run_all
from flowcam_ros.cli.settings import resolve_config
from flowcam_ros.errors import UsageError
from flowcam_ros.settings import parse_assignments


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.peers', description=(__doc__ or '').partition('\n')[0]
    )
    add_comparison(parser, 3, 600.0)
    parser.add_argument(
        '--systems',
        type=names(SYSTEMS),
        default=[name for name, entry in SYSTEMS.items() if entry.by_default],
        metavar='NAMES',
        help=f'some of {", ".join(SYSTEMS)}, joined by commas; all but open3d_colour unless given',
    )
    parser.add_argument(
        '--modes',
        type=names(MODES),
        default=list(MODES),
        metavar='NAMES',
        help=f'some of {", ".join(MODES)}, joined by commas; all unless given',
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run everything, print and save the tables; return the exit code."""
    options = parse()
    check_settings(options.set, options.modes)
    output = options.output or default_output('peers')
    check_output(output)
    recordings = [open_recording(source, options.modes) for source in options.sequences]
    if any(SYSTEMS[name].in_own_environment for name in options.systems):
        for problem in prepare():
            print(problem, file=sys.stderr)
    machine = describe_machine()
    rows = run_all(recordings, options.systems, options.runs, options.set, options.timeout)
    ran = machine, options.runs, options.set
    save(output, as_text(rows, *ran), as_data(rows, *ran))
    return 1 if any(row.failure for row in rows) else 0


def check_settings(settings: Sequence[str], modes: Iterable[str]) -> None:
    """See that this project can be run with the settings, before anything is.

    Raises:
        UsageError: an option is unknown or out of range, or contradicts a mode.
    """
    source = parse_assignments(settings).get('depth.source')
    for mode in modes:
        if source not in (None, DEPTH_SOURCES[mode]):
            raise UsageError(
                f'--set depth.source={source}: mode {mode} means {DEPTH_SOURCES[mode]}; choose '
                'with --modes'
            )
        resolve_config(None, settings, DEPTH_SOURCES[mode])


if __name__ == '__main__':
    run_main('peers', main)
