# SPDX-License-Identifier: Apache-2.0
"""``flowcam refine`` beside COLMAP: accuracy, focal length, registered frames, time and memory.

``python -m benchmarks.refine SEQUENCE...``, run in the repository, prints tables and saves them;
see README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arguments import count, default_output, names
from benchmarks.machine import describe_machine
from benchmarks.refine.report import as_data, as_text
from benchmarks.refine.run import check_truth, open_recording, run_all
from benchmarks.refine.system import INTRINSICS, SYSTEMS
from flowcam_ros.cli.refine_settings import resolve_refine_config
from flowcam_ros.errors import FlowcamError
from flowcam_ros.export.atomic import check_new_file, write_text
from flowcam_ros.export.json_file import dumps

_INTERRUPTED = 130


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.refine', description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument(
        'sequences', nargs='+', help='bags, folders or synthetic:NAME, with ground truth'
    )
    parser.add_argument('--output', type=Path, help='Markdown file; JSON is written beside it')
    parser.add_argument(
        '--runs',
        type=count,
        default=1,
        metavar='COUNT',
        help='runs of which the median counts (%(default)s)',
    )
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
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', help="this project's option"
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=3600.0,
        metavar='SECONDS',
        help='for one system on one sequence (%(default)g)',
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run everything, print and save the tables; return the exit code."""
    options = parse()
    for mode in options.intrinsics:
        resolve_refine_config(None, options.set, mode)
    output = options.output or default_output('refine')
    files = output, output.with_suffix('.json')
    for file in files:
        check_new_file(file)
    for source in options.sequences:
        check_truth(source)
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
    text = as_text(rows, machine, options.runs, options.set)
    print(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(files[0], text)
    write_text(files[1], dumps(as_data(rows, machine, options.runs, options.set)))
    print(f'saved as {files[0]} and {files[1].name}', file=sys.stderr)
    return 1 if any(row.failure for row in rows) else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except FlowcamError as error:
        print(f'refine: error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print('refine: interrupted; nothing was saved', file=sys.stderr)
        sys.exit(_INTERRUPTED)
