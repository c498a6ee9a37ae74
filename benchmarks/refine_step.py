# SPDX-License-Identifier: Apache-2.0
"""Processor time of one step of the optimisation, beside that of the released FlowMap code.

``python -m benchmarks.refine_step``, run in the repository, prints a table; see README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.arguments import count, run_main
from benchmarks.machine import describe_machine, machine_line
from benchmarks.process import clean_environment, run_for_json
from benchmarks.refine.steps import FRAMES, HEIGHT, LEAST_STEPS, WIDTH
from flowcam_ros.threads import CALM

# CPU seconds and MB of a step of the released code (dcharatan/flowmap) at the same pixels, on two
# cores: with its default network, and with explicit depth.
RELEASED = {'network': (28.0, 5400), 'explicit': (2.4, 1200)}
_HEADER = (
    '| depth | step | measured | CPU s | wall s | peak MB | released code, CPU s | peak MB '
    '| CPU less by |\n'
    '|---|---|---|---|---|---|---|---|---|'
)
_TIMEOUT_S = 1800.0


def main() -> int:
    """Measure both kinds of depth and print the table; return the exit code."""
    options = parse()
    found = {}
    for depth in RELEASED:
        words = [depth, str(options.steps), *options.set]
        found[depth] = run_for_json(
            [sys.executable, '-m', 'benchmarks.refine.step_worker', *words],
            clean_environment() | CALM,
            _TIMEOUT_S,
        )
    print(as_text(found, describe_machine(), options.set))
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.refine_step', description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument(
        '--steps',
        type=_steps,
        default=40,
        metavar='COUNT',
        help=f'of each stage, at least {LEAST_STEPS} (%(default)s)',
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', help='an option of refine'
    )
    return parser.parse_args(arguments)


def as_text(
    found: Mapping[str, Mapping[str, Any]], machine: Mapping[str, str], settings: Sequence[str]
) -> str:
    """Return the table as Markdown."""
    options = f', with {" ".join(settings)}' if settings else ''
    lines = [
        f'# One step at {FRAMES} frames of {WIDTH}x{HEIGHT}, {machine["date"]}',
        '',
        f'{machine_line(machine)}{options}.',
        'CPU time of all threads, median of the steps. The released code has no first stage; its '
        'figures were measured once, on two cores.',
        '',
        _HEADER,
    ]
    for depth, answer in found.items():
        lines += [_row(depth, cost, answer['peak_mb']) for cost in answer['costs']]
    return '\n'.join(lines)


def _row(depth: str, cost: Mapping[str, Any], peak_mb: float) -> str:
    cpu_s, released_mb = RELEASED[depth]
    compared = cost['stage'].startswith('flow')
    beside = (f'{cpu_s:g}', f'{released_mb}', f'{cpu_s / cost["cpu_s"]:.0f} times')
    cells = (
        depth,
        cost['stage'],
        str(cost['steps']),
        f'{cost["cpu_s"]:.3f}',
        f'{cost["wall_s"]:.3f}',
        f'{peak_mb:.0f}',
        *(beside if compared else ('-', '-', '-')),
    )
    return f'| {" | ".join(cells)} |'


def _steps(text: str) -> int:
    steps = count(text)
    if steps < LEAST_STEPS:
        raise argparse.ArgumentTypeError(f'{steps} steps are too few, at least {LEAST_STEPS}')
    return steps


if __name__ == '__main__':
    run_main('refine_step', main)
