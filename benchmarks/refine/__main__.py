# SPDX-License-Identifier: Apache-2.0
"""``flowcam refine`` beside COLMAP: accuracy, focal length, registered frames, time and memory.

``python -m benchmarks.refine SEQUENCE...``, run in the repository, prints tables and saves them;
see README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arguments import add_comparison, default_output, names, run_main
from benchmarks.comparison import as_data, check_output, save, truth_of
from benchmarks.machine import describe_machine
from benchmarks.refine.report import as_text
from benchmarks.refine.run import open_recording, run_all
from benchmarks.refine.system import INTRINSICS, SYSTEMS
from flowcam_ros.cli.refine_settings import resolve_refine_config
from flowcam_ros.sequences import open_sequence


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.refine', description=(__doc__ or '').partition('\n')[0]
    )
    add_comparison(parser, 1, 3600.0)
    parser.add_argument(
        '--intrinsics',
        type=names(INTRINSICS),
        default=['unknown', 'known'],
        metavar='NAMES',
        help=f'some of {", ".join(INTRINSICS)}, joined by commas; unknown,known unless given',
    )
    parser.add_argument(
        '--systems',
        type=names(SYSTEMS),
        default=list(SYSTEMS),
        metavar='NAMES',
        help=f'some of {", ".join(SYSTEMS)}, joined by commas; all unless given',
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run everything, print and save the tables; return the exit code."""
    options = parse()
    for mode in options.intrinsics:
        resolve_refine_config(None, options.set, {'--intrinsics': mode})
    output = options.output or default_output('refine')
    check_output(output)
    for source in options.sequences:
        truth_of(source, open_sequence(source))
    machine = describe_machine()
    with TemporaryDirectory(prefix='refine_') as folder:
        recordings = [
            open_recording(source, Path(folder) / str(number))
            for number, source in enumerate(options.sequences)
        ]
        rows = run_all(
            recordings,
            options.intrinsics,
            options.systems,
            options.runs,
            options.set,
            options.timeout,
        )
    ran = machine, options.runs, options.set
    save(output, as_text(rows, *ran), as_data(rows, *ran))
    return 1 if any(row.failure for row in rows) else 0


if __name__ == '__main__':
    run_main('refine', main)
