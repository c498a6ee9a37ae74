# SPDX-License-Identifier: Apache-2.0
"""What comparisons of several systems on several recordings have in common."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.machine import machine_line
from benchmarks.process import NotInstalled, WorkerFailed
from flowcam_ros.errors import UsageError
from flowcam_ros.export.atomic import check_new_file, write_text
from flowcam_ros.export.json_file import dumps
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences.sequence import Sequence as Recording

_Job = TypeVar('_Job')


@dataclass
class Row:
    """One system on one recording in one mode: the figures of each run, or why there are none."""

    sequence: str
    mode: str
    system: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    failure: str = ''


def truth_of(source: str, sequence: Recording) -> Trajectory:
    """Return the true path of a recording.

    Raises:
        UsageError: it has none.
    """
    truth = sequence.ground_truth()
    if truth is None:
        raise UsageError(f'{source} has no ground truth (groundtruth.tum) to measure against')
    return truth


def run_in_turns(
    jobs: Sequence[tuple[_Job, Row]], runs: int, run_once: Callable[[_Job, Row], None]
) -> list[Row]:
    """Run everything ``runs`` times in turns, so that a busy moment of the machine hits all.

    Args:
        jobs: what is run, with the row for its figures.
        runs: how often.
        run_once: adds the figures of a run to the row; raises NotInstalled or WorkerFailed.
    """
    missing: dict[str, str] = {}
    for number in range(runs):
        for job, row in jobs:
            row.failure = row.failure or missing.get(row.system, '')
            if row.failure:
                continue
            begin = time.monotonic()
            try:
                run_once(job, row)
            except NotInstalled as error:
                row.failure = missing[row.system] = str(error)
            except WorkerFailed as error:
                row.failure = str(error)
            words = row.failure or f'{time.monotonic() - begin:.1f} s'
            where = f'{row.sequence}, {row.mode}, {row.system}'
            print(f'run {number + 1} of {runs}, {where}: {words}', file=sys.stderr, flush=True)
    return [row for _, row in jobs]


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the median of each figure over the runs that have it."""
    found = {}
    for key in runs[0] if runs else ():
        values = [run[key] for run in runs if isinstance(run[key], (int, float))]
        if key != 'states':
            found[key] = statistics.median(values) if values else None
    return found


def as_data(
    rows: Sequence[Row], machine: Mapping[str, str], runs: int, settings: Sequence[str]
) -> dict[str, object]:
    """Return everything that was measured, for the JSON file."""
    return {
        'machine': machine,
        'runs': runs,
        'settings': list(settings),
        'rows': [
            {
                'sequence': row.sequence,
                'mode': row.mode,
                'system': row.system,
                'versions': row.versions,
                'failure': row.failure or None,
                'median': medians(row.runs),
                'runs': row.runs,
            }
            for row in rows
        ],
    }


def conditions(machine: Mapping[str, str], runs: int, settings: Sequence[str]) -> str:
    """Return on what and how it ran, in a line."""
    times = '1 run' if runs == 1 else f'{runs} runs in turns'
    options = f', with {" ".join(settings)}' if settings else ''
    return f'{machine_line(machine)}, {times}{options}.'


def failures(rows: Sequence[Row], titles: Mapping[str, str]) -> list[str]:
    """Return a line for each reason why there are no figures.

    Args:
        rows: all.
        titles: of the systems.
    """
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.failure:
            text = f'{titles[row.system]}: {row.failure}'
            reasons.setdefault(text, []).append(f'{row.sequence} ({row.mode})')
    return [f'- {reason} [{", ".join(where)}]' for reason, where in reasons.items()]


def check_output(output: Path) -> None:
    """Raise OutputError where a table, or the data beside it, would overwrite an earlier one."""
    for file in (output, output.with_suffix('.json')):
        check_new_file(file)


def save(output: Path, text: str, data: object) -> None:
    """Print a table, and write it and, beside it, its data.

    Raises:
        OutputError: they exist or cannot be written.
    """
    print(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, text)
    write_text(output.with_suffix('.json'), dumps(data))
    print(f'saved as {output} and {output.with_suffix(".json").name}', file=sys.stderr)
