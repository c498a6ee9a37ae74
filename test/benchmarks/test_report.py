# SPDX-License-Identifier: Apache-2.0
"""The tables of the comparison."""

from __future__ import annotations

import json

from benchmarks.comparison import Row, as_data, medians
from benchmarks.peers.report import as_text
from flowcam_ros.export.json_file import dumps

FIGURES = {
    'frames': 40,
    'epochs': 1,
    'frames_of_epoch': 40,
    'coverage': 0.975,
    'ate_mm': 12.34,
    'ate_percent': 1.0,
    'ate_all_mm': 15.0,
    'rpe_mm': 1.5,
    'rpe_deg': 0.1234,
    'frame_ms': 20.0,
    'frame_ms_p95': 30.0,
    'frames_per_s': 45.0,
    'cpu_ms': 25.0,
    'peak_mb': 300.0,
    'anees': 2.0,
    'anees_twist': None,
    'states': {'tracking': 39, 'lost': 1},
}
MACHINE = {
    'date': 'today',
    'processor': 'CPU',
    'cores': '2',
    'memory': '8 kB',
    'python': '3',
    'commit': 'abc',
}


def test_each_figure_is_the_median_of_the_runs_that_have_it() -> None:
    runs = [FIGURES | {'ate_mm': ate, 'anees': anees} for ate, anees in
            ((1.0, None), (9.0, 2.0), (2.0, 4.0))]  # fmt: skip
    found = medians(runs)
    assert found['ate_mm'] == 2.0
    assert found['anees'] == 3.0
    assert 'states' not in found


def test_a_row_stands_under_its_mode_and_a_system_that_failed_says_why_once() -> None:
    rows = [
        Row('walk', 'depth', 'flowcam', [FIGURES], {'opencv': '4.14'}),
        Row('walk', 'depth', 'open3d_hybrid', failure='not installed: no open3d'),
        Row('run', 'depth', 'open3d_hybrid', failure='not installed: no open3d'),
    ]
    text = as_text(rows, MACHINE, 1, [])
    assert '## With depth' in text and '## Without depth' not in text
    assert (
        '| walk | flowcam_ros | 12.3 | 15.0 | 1.5 | 0.123 | 98 % | 20.0 / 30.0 | 25.0 | 45.0 '
        '| 300 | 2.00 / - |' in text
    )
    assert text.count('not installed: no open3d') == 1
    assert 'tracking 39, lost 1' in text
    assert 'epochs' not in text
    columns = {line.count('|') for line in text.splitlines() if line.startswith('|')}
    assert len(columns) == 1


def test_a_row_of_several_epochs_says_which_part_its_errors_are_of() -> None:
    figures = FIGURES | {'epochs': 2, 'frames_of_epoch': 25}
    text = as_text([Row('walk', 'mono', 'flowcam', [FIGURES, figures])], MACHINE, 2, [])
    assert '- flowcam_ros, walk, mono: its world began anew, 2 epochs' in text
    assert '25 of 40 frames' in text


def test_the_data_is_json_and_holds_every_run() -> None:
    rows = [Row('walk', 'mono', 'flowcam', [FIGURES, FIGURES])]
    data = json.loads(dumps(as_data(rows, MACHINE, 2, ['a=1'])))
    assert len(data['rows'][0]['runs']) == 2
    assert data['rows'][0]['median']['ate_mm'] == 12.34
    assert data['rows'][0]['failure'] is None
