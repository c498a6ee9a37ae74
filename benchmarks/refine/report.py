# SPDX-License-Identifier: Apache-2.0
"""The tables of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.peers.report import medians
from benchmarks.refine.run import Row
from benchmarks.refine.system import INTRINSICS, SYSTEMS

_HEADER = (
    '| sequence | frames | system | registered | ATE | ATE normalised | ATE of FlowMap '
    '| focal error | seconds | CPU s | peak MB |\n'
    '|---|---|---|---|---|---|---|---|---|---|---|'
)
_LEGEND = (
    'Registered: share of the frames with a pose from the picture. ATE: RMSE of the position over '
    'all poses after Sim(3) alignment, in the unit of the truth. Normalised: the same with the '
    'true positions centred and scaled so that their squares sum to 1. Of FlowMap: as its paper '
    'states it, a reflection allowed, over coordinates instead of points. Seconds, CPU time of '
    'all threads and peak memory: of the whole process. Each figure is the median of the runs.'
)


def machine_line(machine: Mapping[str, str]) -> str:
    """Return on what it ran, in a line."""
    return (
        f'{machine["processor"]}, {machine["cores"]} cores, {machine["memory"]}, Python '
        f'{machine["python"]}, commit {machine["commit"]}'
    )


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
                'intrinsics': row.intrinsics,
                'system': row.system,
                'versions': row.versions,
                'failure': row.failure or None,
                'median': medians(row.runs),
                'runs': row.runs,
            }
            for row in rows
        ],
    }


def as_text(
    rows: Sequence[Row], machine: Mapping[str, str], runs: int, settings: Sequence[str]
) -> str:
    """Return the tables as Markdown."""
    times = '1 run' if runs == 1 else f'{runs} runs in turns'
    options = f', with {" ".join(settings)}' if settings else ''
    lines = [
        f'# Refinement beside COLMAP, {machine["date"]}',
        '',
        f'{machine_line(machine)}, {times}{options}.',
        _LEGEND,
    ]
    for mode, title in INTRINSICS.items():
        chosen = [row for row in rows if row.intrinsics == mode]
        if chosen:
            lines += ['', f'## {title}', '', _HEADER, *map(table_row, chosen)]
    return '\n'.join([*lines, '', *_failures(rows), _versions(rows)]) + '\n'


def table_row(row: Row) -> str:
    """Return one row of a table."""
    title = SYSTEMS[row.system].title
    if not row.runs:
        return f'| {row.sequence} | - | {title} |' + ' - |' * 8
    figures = medians(row.runs)

    def cell(key: str, form: str, unit: str = '') -> str:
        value = figures[key]
        return '-' if value is None else f'{value:{form}}{unit}'

    gpu = figures['gpu_peak_mb']
    cells = (
        row.sequence,
        cell('frames', '.0f'),
        title,
        f'{100 * (figures["registered"] or 0.0):.0f} %',
        cell('ate', '.4f'),
        cell('ate_normalised', '.5f'),
        cell('ate_flowmap', '.5f'),
        cell('focal_percent', '+.2f', ' %'),
        cell('seconds', '.1f'),
        cell('cpu_s', '.1f'),
        cell('peak_mb', '.0f') + ('' if gpu is None else f' + {gpu:.0f} GPU'),
    )
    return f'| {" | ".join(cells)} |'


def _failures(rows: Sequence[Row]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.failure:
            text = f'{SYSTEMS[row.system].title}: {row.failure}'
            reasons.setdefault(text, []).append(f'{row.sequence} ({row.intrinsics})')
    return [f'- {reason} [{", ".join(where)}]' for reason, where in reasons.items()]


def _versions(rows: Sequence[Row]) -> str:
    found = {f'{name} {version}' for row in rows for name, version in row.versions.items()}
    return f'- versions: {", ".join(sorted(found))}'
