# SPDX-License-Identifier: Apache-2.0
"""The tables of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.comparison import Row, conditions, failures, medians
from benchmarks.peers.registry import MODES, SYSTEMS

TITLES = {name: entry.title for name, entry in SYSTEMS.items()}
_HEADER = (
    '| sequence | system | ATE mm | ATE mm, all frames | RPE mm | RPE deg | coverage '
    '| frame ms p50 / p95 | CPU ms | frames/s | peak MB | ANEES pose / twist |\n'
    '|---|---|---|---|---|---|---|---|---|---|---|---|'
)
_ALIGNED = {
    'depth': 'ATE after SE(3) alignment.',
    'mono': 'ATE after Sim(3) alignment.',
}
_LEGEND = (
    'ATE: RMSE of the position over the believed frames, and over all of them. RPE: median error '
    'of the motion from frame to frame. Coverage: share of frames whose pose is believed. Frame '
    'and CPU time: of the system alone, without reading and decoding; CPU time is that of all '
    'threads. Peak MB: of the whole process. ANEES: 1 where covariances are as large as the '
    'errors, of poses and of velocities. Each figure is the median of the runs.'
)


def as_text(
    rows: Sequence[Row], machine: Mapping[str, str], runs: int, settings: Sequence[str]
) -> str:
    """Return the tables as Markdown."""
    lines = [
        f'# Side by side, {machine["date"]}',
        '',
        conditions(machine, runs, settings),
        _LEGEND,
    ]
    for mode, title in MODES.items():
        chosen = [row for row in rows if row.mode == mode]
        if chosen:
            lines += ['', f'## {title}', _ALIGNED[mode], '', _HEADER, *map(table_row, chosen)]
    lines += ['', *failures(rows, TITLES), *_epochs(rows), *_states(rows), _versions(rows)]
    return '\n'.join(lines) + '\n'


def table_row(row: Row) -> str:
    """Return one row of a table."""
    title = TITLES[row.system]
    if not row.runs:
        return f'| {row.sequence} | {title} |' + ' - |' * 10
    figures = medians(row.runs)

    def cell(key: str, digits: int) -> str:
        value = figures[key]
        return '-' if value is None else f'{value:.{digits}f}'

    coverage = figures['coverage'] or 0.0
    cells = (
        cell('ate_mm', 1),
        cell('ate_all_mm', 1),
        cell('rpe_mm', 1),
        cell('rpe_deg', 3),
        f'{100 * coverage:.0f} %',
        f'{cell("frame_ms", 1)} / {cell("frame_ms_p95", 1)}',
        cell('cpu_ms', 1),
        cell('frames_per_s', 1),
        cell('peak_mb', 0),
        f'{cell("anees", 2)} / {cell("anees_twist", 2)}',
    )
    return f'| {row.sequence} | {title} | ' + ' | '.join(cells) + ' |'


def _epochs(rows: Sequence[Row]) -> list[str]:
    """Return a note on each row whose errors are those of a part of the sequence."""
    lines = []
    for row in rows:
        parted = [run for run in row.runs if run['epochs'] > 1]
        if parted:
            run = max(parted, key=lambda run: run['epochs'])
            lines.append(
                f'- {TITLES[row.system]}, {row.sequence}, {row.mode}: its world began '
                f'anew, {run["epochs"]} epochs; errors, coverage and ANEES are those of the '
                f'longest, {run["frames_of_epoch"]} of {run["frames"]} frames'
            )
    return lines


def _states(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        states = row.runs[-1]['states'] if row.runs else {}
        if states:
            counts = ', '.join(f'{name} {count}' for name, count in states.items())
            lines.append(f'- {TITLES[row.system]}, {row.sequence}, {row.mode}: frames {counts}')
    return lines


def _versions(rows: Sequence[Row]) -> str:
    found = {
        row.system: ', '.join(f'{name} {version}' for name, version in row.versions.items())
        for row in rows
        if row.versions
    }
    texts = [f'{TITLES[name]} ({versions})' for name, versions in found.items()]
    return f'- versions: {"; ".join(texts)}'
