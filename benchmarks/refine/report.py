# SPDX-License-Identifier: Apache-2.0
"""The tables of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.comparison import Row, conditions, failures, medians
from benchmarks.refine.system import INTRINSICS, SYSTEMS

TITLES = {name: system.title for name, system in SYSTEMS.items()}
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


def as_text(
    rows: Sequence[Row], machine: Mapping[str, str], runs: int, settings: Sequence[str]
) -> str:
    """Return the tables as Markdown."""
    lines = [
        f'# Refinement beside COLMAP, {machine["date"]}',
        '',
        conditions(machine, runs, settings),
        _LEGEND,
    ]
    for mode, title in INTRINSICS.items():
        chosen = [row for row in rows if row.mode == mode]
        if chosen:
            lines += ['', f'## {title}', '', _HEADER, *map(table_row, chosen)]
    return '\n'.join([*lines, '', *failures(rows, TITLES), _versions(rows)]) + '\n'


def table_row(row: Row) -> str:
    """Return one row of a table."""
    title = TITLES[row.system]
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


def _versions(rows: Sequence[Row]) -> str:
    found = {f'{name} {version}' for row in rows for name, version in row.versions.items()}
    return f'- versions: {", ".join(sorted(found))}'
