# SPDX-License-Identifier: Apache-2.0
"""This project beside other systems: accuracy, coverage, speed, memory and consistency.

``python -m benchmarks.peers SEQUENCE...``, run in the repository, prints tables and saves them;
see README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.arguments import count, default_output, names
from benchmarks.machine import describe_machine
from benchmarks.peers.environment import prepare
from benchmarks.peers.registry import DEPTH_SOURCES, MODES, SYSTEMS
from benchmarks.peers.report import as_data, as_text
from benchmarks.peers.run import open_recording, run_all
from flowcam_ros.cli.settings import resolve_config
from flowcam_ros.errors import FlowcamError, UsageError
from flowcam_ros.export.atomic import check_new_file, write_text
from flowcam_ros.export.json_file import dumps
from flowcam_ros.settings import parse_assignments

_INTERRUPTED = 130


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.peers', description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument(
        'sequences', nargs='+', help='bags, folders or synthetic:NAME, with ground truth'
    )
    parser.add_argument('--output', type=Path, help='Markdown file; JSON is written beside it')
    parser.add_argument(
        '--runs',
        type=count,
        default=3,
        metavar='COUNT',
        help='runs of which the median counts (%(default)s)',
    )
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
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', help="this project's option"
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=600.0,
        metavar='SECONDS',
        help='for one system on one sequence (%(default)g)',
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run everything, print and save the tables; return the exit code."""
    options = parse()
    check_settings(options.set, options.modes)
    output = options.output or default_output('peers')
    files = output, output.with_suffix('.json')
    for file in files:
        check_new_file(file)
    recordings = [open_recording(source, options.modes) for source in options.sequences]
    if any(SYSTEMS[name].in_own_environment for name in options.systems):
        for problem in prepare():
            print(problem, file=sys.stderr)
    machine = describe_machine()
    rows = run_all(recordings, options.systems, options.runs, options.set, options.timeout)
    text = as_text(rows, machine, options.runs, options.set)
    print(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(files[0], text)
    write_text(files[1], dumps(as_data(rows, machine, options.runs, options.set)))
    print(f'saved as {files[0]} and {files[1].name}', file=sys.stderr)
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
    try:
        sys.exit(main())
    except FlowcamError as error:
        print(f'peers: error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print('peers: interrupted; nothing was saved', file=sys.stderr)
        sys.exit(_INTERRUPTED)
