# SPDX-License-Identifier: Apache-2.0
"""The synthetic suite as a program: what it prints and saves, and how it refuses."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmarks import consistency
from benchmarks.consistency import Case, main, summary
from benchmarks.peers.environment import ROOT
from flowcam_ros.errors import OutputError, UsageError
from flowcam_ros.evaluation.tracking import Run
from flowcam_ros.export.atomic import OutputExists
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState

SMALL = ['--size', '96x72']


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one case of a few frames."""
    monkeypatch.setattr(consistency, 'CASES', (Case('stand', 'standstill?frames=4'),))


@pytest.mark.usefixtures('_short')
@pytest.mark.parametrize('kinds', [['RGB-D'], ['RGB-D', 'mono']])
def test_each_row_is_printed_once_and_the_table_saved_as_printed(
    kinds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / 'deep' / 'table.md'
    one = ['--depth', kinds[0]] if len(kinds) == 1 else []
    assert main([*SMALL, *one, '--output', str(output), '--save', str(tmp_path / 'runs')]) == 0
    printed = capsys.readouterr().out
    assert output.read_text(encoding='utf-8') == printed
    assert [line.split(' | ')[1] for line in printed.splitlines() if '| stand' in line] == kinds
    assert printed.count('\n- ') == len(kinds)
    saved = sorted((tmp_path / 'runs').iterdir())
    assert [file.name for file in saved] == [f'stand {kind}.npz' for kind in kinds]
    with np.load(saved[0], allow_pickle=False) as arrays:
        assert arrays['found'].shape == (4, 4, 4)


@pytest.mark.usefixtures('_short')
@pytest.mark.parametrize(
    ('option', 'value', 'earlier'),
    [('--output', 'old', 'old'), ('--save', '', 'stand mono.npz')],
)
def test_an_earlier_result_is_refused_before_anything_runs(
    option: str, value: str, earlier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / earlier).write_text('mine')
    with pytest.raises(OutputExists, match='exists already'):
        main([*SMALL, option, str(tmp_path / value)])
    assert capsys.readouterr().out == ''
    assert [file.read_text() for file in tmp_path.iterdir()] == ['mine']


@pytest.mark.usefixtures('_short')
def test_a_place_that_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(OutputError, match='cannot be made'):
        main([*SMALL, '--output', str(tmp_path / 'file' / 'table.md')])
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['wlak'], 'stand-still'),
        (['walk', 'nonsense'], "'nonsense'"),
        (['--size', 'foo'], '640x480'),
        (['--size', '640x'], '640x480'),
        (['--size', '1x1'], 'width'),
    ],
)
def test_an_unknown_case_or_size_is_refused_before_anything_runs(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=told):
        main(words)
    assert capsys.readouterr().out == ''


def test_a_refusal_is_one_line() -> None:
    command = [sys.executable, '-m', 'benchmarks.consistency', 'wlak']
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stdout == ''
    assert result.stderr.startswith('consistency: error: ') and result.stderr.count('\n') == 1
    assert all(case.name in result.stderr for case in consistency.CASES)


def test_the_help_says_how_to_start_it_and_lists_the_cases(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(['--help'])
    text = capsys.readouterr().out
    assert 'usage: python -m benchmarks.consistency' in text and '--size WxH' in text
    assert all(f'\n  {case.name}\n' in text for case in consistency.CASES)


def test_a_kind_of_which_nothing_is_believed_has_no_figures_and_no_warning() -> None:
    lost = [
        PoseEstimate(k, TrackingState.LOST, 'dark', np.eye(4), np.eye(6), np.zeros(6), np.eye(6))
        for k in range(3)
    ]
    run = Run.of(lost, np.tile(np.eye(4), (3, 1, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        text = summary('mono', [run]) + consistency.row(Case('dark', ''), 'mono', run)
    assert 'pose ANEES unknown, twist ANEES unknown' in text
    assert 'nan' not in text
