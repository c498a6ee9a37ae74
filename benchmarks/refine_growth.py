# SPDX-License-Identifier: Apache-2.0
"""How time and memory of ``flowcam refine`` grow with the length of a recording.

Beside the memory that was used stands what was expected before the start.

``python -m benchmarks.refine_growth``, run in the repository, prints a table and saves it. The
recordings are bags of the synthetic world, written before; every frame takes part in the
optimisation. Each length has a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arguments import default_output, run_main
from benchmarks.machine import describe_machine, machine_line
from benchmarks.process import WorkerFailed
from benchmarks.refine.run import run_worker
from benchmarks.refine.system import INTRINSICS, Job
from flowcam_ros.cli.refine_settings import resolve_refine_config
from flowcam_ros.export.atomic import check_new_file, write_text
from flowcam_ros.export.json_file import dumps
from flowcam_ros.flowmap.frame_store import network_size
from flowcam_ros.flowmap.memory_model import Recording
from flowcam_ros.flowmap.memory_plan import plan_memory
from flowcam_ros.sequences.record import record_bag
from flowcam_ros.sequences.synthetic import parse_synthetic

_SEQUENCE = 'synthetic:walk?fps=6&noise=2&depth=false'
_LENGTHS = [25, 50, 100, 200, 400]
# However little the camera moves, each frame is chosen.
_EVERY_FRAME = 'frames.step=0.001'


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.refine_growth',
        description=(__doc__ or '').partition('\n')[0],
    )
    parser.add_argument(
        '--lengths',
        type=_lengths,
        default=_LENGTHS,
        metavar='NUMBERS',
        help=f'numbers of frames, joined by commas ({",".join(map(str, _LENGTHS))})',
    )
    parser.add_argument(
        '--sequence',
        default=_SEQUENCE,
        metavar='TEXT',
        help='what is recorded, without its number of frames (%(default)s)',
    )
    parser.add_argument(
        '--intrinsics', choices=list(INTRINSICS), default='unknown', help='(%(default)s)'
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', help='an option of refine'
    )
    parser.add_argument('--output', type=Path, help='Markdown file; JSON is written beside it')
    parser.add_argument(
        '--timeout',
        type=float,
        default=7200.0,
        metavar='SECONDS',
        help='for one length (%(default)g)',
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run every length, print and save the table; return the exit code."""
    options = parse()
    settings = [_EVERY_FRAME, *options.set]
    resolve_refine_config(None, settings, {'--intrinsics': options.intrinsics})
    for length in options.lengths:
        with_length(options.sequence, length)
    output = options.output or default_output('refine_growth')
    files = output, output.with_suffix('.json')
    for file in files:
        check_new_file(file)
    machine = describe_machine()
    rows, failures = _measure_all(options, settings)
    text = as_text(rows, machine, options.sequence, options.intrinsics, settings)
    text += ''.join(f'- {failure}\n' for failure in failures)
    print(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(files[0], text)
    content = {
        'machine': machine,
        'sequence': options.sequence,
        'intrinsics': options.intrinsics,
        'settings': settings,
        'rows': rows,
        'failures': failures,
    }
    write_text(files[1], dumps(content))
    print(f'saved as {files[0]} and {files[1].name}', file=sys.stderr)
    return 1 if failures else 0


def _measure_all(
    options: argparse.Namespace, settings: Sequence[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what each length took, and why one failed: with it ends the series."""
    rows: list[dict[str, Any]] = []
    for length in options.lengths:
        source = with_length(options.sequence, length)
        try:
            rows.append(measure(source, length, options.intrinsics, settings, options.timeout))
        except WorkerFailed as error:
            return rows, [f'{length} frames: {error}']
        print(f'{length} frames: {rows[-1]["seconds"]:.1f} s', file=sys.stderr, flush=True)
    return rows, []


def with_length(sequence: str, frames: int) -> str:
    """Return the text of the sequence with so many frames.

    Raises:
        UsageError: it is no synthetic sequence, or says its number of frames itself.
        ConfigError: an option is unknown or out of range.
    """
    text = f'{sequence}{"&" if "?" in sequence else "?"}frames={frames}'
    parse_synthetic(text)
    return text


def measure(
    source: str, length: int, intrinsics: str, settings: Sequence[str], timeout_s: float
) -> dict[str, Any]:
    """Record a sequence, refine the bag, and return what that took.

    Raises:
        WorkerFailed: the refinement ended with an error or took too long.
        OutputError: the bag cannot be written.
    """
    with TemporaryDirectory(prefix='refine_growth_') as name:
        folder = Path(name)
        record_bag(parse_synthetic(source), folder / 'bag')
        job = Job(str(folder / 'bag'), folder, folder / 'result', intrinsics, tuple(settings))
        answer = run_worker('flowcam', job, timeout_s)
    return {
        'frames': length,
        'optimised': answer['optimised'],
        'expected_mb': expected_mb(source, answer['optimised'], settings),
        'stages': dict(answer['stages']),
        **{key: answer[key] for key in ('seconds', 'cpu_s', 'peak_mb', 'gpu_peak_mb')},
    }


def expected_mb(source: str, frames: int, settings: Sequence[str]) -> float:
    """Return the memory that the plan of a refinement expects, in units of 10^6 bytes."""
    config = resolve_refine_config(None, settings, {})
    camera = next(iter(parse_synthetic(source))).camera
    width, height = network_size(camera.width, camera.height, config.store.pixels)
    return plan_memory(Recording(frames, width * height), config).estimate.peak * 1e-6


def as_text(
    rows: Sequence[Mapping[str, Any]],
    machine: Mapping[str, str],
    sequence: str,
    intrinsics: str,
    settings: Sequence[str],
) -> str:
    """Return the table as Markdown, and how much the longest takes more than the shortest."""
    stages = list(dict.fromkeys(stage for row in rows for stage in row['stages']))
    heads = [
        'frames',
        'optimised',
        *stages,
        'seconds',
        's a frame',
        'CPU s',
        'peak MB',
        'expected',
        'GPU MB',
    ]
    lines = [
        f'# Growth of flowcam refine, {machine["date"]}',
        '',
        f'{machine_line(machine)}; {sequence}, intrinsics {intrinsics}, with '
        f'{" ".join(settings)}.',
        'Seconds of each stage, then of the whole process, one for each length.',
        '',
        f'| {" | ".join(heads)} |',
        '|' + '---|' * len(heads),
    ]
    for row in rows:
        gpu = row['gpu_peak_mb']
        cells = (
            str(row['frames']),
            str(row['optimised']),
            *(f'{row["stages"][s]:.1f}' if s in row['stages'] else '-' for s in stages),
            f'{row["seconds"]:.1f}',
            f'{row["seconds"] / row["frames"]:.2f}',
            f'{row["cpu_s"]:.1f}',
            f'{row["peak_mb"]:.0f}',
            f'{row["expected_mb"]:.0f}',
            '-' if gpu is None else f'{gpu:.0f}',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join([*lines, '', *growth(rows)]) + '\n'


def growth(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how memory and time grow from each length to the longest, a line each."""
    if not rows:
        return []
    *shorter, longest = sorted(rows, key=lambda row: int(row['frames']))
    return [
        f'- from {row["frames"]} to {longest["frames"]} frames: memory '
        f'{100 * (longest["peak_mb"] / row["peak_mb"] - 1):+.0f} %, '
        f'seconds x {longest["seconds"] / row["seconds"]:.1f}'
        for row in shorter
    ]


def _lengths(text: str) -> list[int]:
    parts = text.split(',')
    if not all(part.isdecimal() and int(part) > 1 for part in parts):
        raise argparse.ArgumentTypeError(f'{text!r} is no list of numbers of frames')
    return [int(part) for part in parts]


if __name__ == '__main__':
    run_main('refine_growth', main)
