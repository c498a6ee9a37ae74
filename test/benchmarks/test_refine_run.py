# SPDX-License-Identifier: Apache-2.0
"""The refinement and COLMAP in processes of their own, and what happens when one cannot run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.process import ROOT, NotInstalled, WorkerFailed
from benchmarks.refine import run
from benchmarks.refine.__main__ import parse
from benchmarks.refine.pictures import read_stored, store_pictures
from benchmarks.refine.system import INTRINSICS, SYSTEMS, Job, System
from flowcam_ros.errors import SequenceError, UsageError
from flowcam_ros.sequences import open_sequence

WALK = 'synthetic:walk?width=320&height=240&frames=6&fps=3&depth=false'
SMALL = 'synthetic:walk?width=64&height=48&frames=3&distortion_model=plumb_bob'


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'benchmarks.refine', *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def test_pictures_are_stored_without_loss_and_found_again(tmp_path: Path) -> None:
    sequence = open_sequence(SMALL)
    stored = store_pictures(tmp_path, sequence)
    assert read_stored(tmp_path) == stored
    files = sorted(stored.images.iterdir())
    for file, frame in zip(files, sequence, strict=True):
        assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), frame.image)
        assert stored.stamp_ns(file.name) == frame.stamp_ns
        assert stored.camera == frame.camera


def test_a_recording_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match='no frame'):
        store_pictures(tmp_path, [])


@pytest.mark.parametrize('name', ['incremental', 'global'])
def test_colmap_finds_the_path_and_keeps_a_known_focal_length(name: str, tmp_path: Path) -> None:
    pytest.importorskip('pycolmap', reason='no pycolmap for this machine')
    recording = run.open_recording(WALK, tmp_path)
    unknown, known = run.run_all([recording], ['unknown', 'known'], [name], 1, [], 60.0)
    for row in (unknown, known):
        assert not row.failure
        (figures,) = row.runs
        assert figures['frames'] == 6 and figures['registered'] == 1.0
        assert figures['ate_normalised'] < 0.01
        assert figures['ate_flowmap'] < figures['ate_normalised']
        assert figures['cpu_s'] > 0 and 50 < figures['peak_mb'] < 2000
    assert 0 < abs(unknown.runs[0]['focal_percent']) < 5
    assert abs(known.runs[0]['focal_percent']) < 1e-6
    assert known.versions['pycolmap']


def test_colmap_without_a_model_registers_nothing(tmp_path: Path) -> None:
    pytest.importorskip('pycolmap', reason='no pycolmap for this machine')
    recording = run.open_recording('synthetic:walk?width=64&height=48&frames=3', tmp_path)
    (row,) = run.run_all([recording], ['unknown'], ['incremental'], 1, [], 60.0)
    (figures,) = row.runs
    assert figures['registered'] == 0.0
    assert figures['ate'] is None and figures['focal_percent'] is None


def test_a_missing_package_is_told_once_and_others_still_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def fail(name: str, job: Job, timeout_s: float) -> dict[str, object]:
        asked.append(name)
        if name == 'global':
            raise NotInstalled('not installed: no global mapping')
        raise WorkerFailed('no parallax')

    monkeypatch.setattr(run, 'run_worker', fail)
    recording = run.open_recording(SMALL, tmp_path)
    rows = run.run_all([recording], ['unknown', 'known'], ['flowcam', 'global'], 2, [], 1.0)
    assert asked == ['flowcam', 'global', 'flowcam']
    assert [row.failure for row in rows] == [
        'no parallax',
        'not installed: no global mapping',
        'no parallax',
        'not installed: no global mapping',
    ]


def test_a_system_whose_package_is_missing_is_told_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'pycolmap.py').write_text("raise ImportError('no wheel for this machine')\n")
    environment = run.clean_environment()
    environment['PYTHONPATH'] = f'{tmp_path}:{environment["PYTHONPATH"]}'
    monkeypatch.setattr(run, 'clean_environment', lambda: environment)
    job = Job(SMALL, tmp_path, tmp_path / 'result', 'known')
    with pytest.raises(NotInstalled, match='not installed: no wheel for this machine'):
        run.run_worker('global', job, 60.0)


def test_a_system_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    job = Job(SMALL, tmp_path, tmp_path / 'result', 'known')
    with pytest.raises(WorkerFailed, match=r'more than 0\.01 s'):
        run.run_worker('incremental', job, 0.01)


def test_what_the_refinement_says_of_its_failure_is_passed_on(tmp_path: Path) -> None:
    job = Job('synthetic:walk?frames=1', tmp_path, tmp_path / 'result', 'known')
    with pytest.raises(WorkerFailed, match=r'^flowcam: error: ') as caught:
        run.run_worker('flowcam', job, 60.0)
    assert not isinstance(caught.value, NotInstalled)


def test_the_refinement_is_run_with_its_options_and_the_table_is_saved(tmp_path: Path) -> None:
    output = tmp_path / 'table.md'
    words = ['--systems', 'flowcam', '--intrinsics', 'unknown', '--output', str(output)]
    short = ['--set', 'optimizer.steps=4', '--set', 'optimizer.start_steps=4']
    found = benchmark(*words, *short, WALK.replace('320', '160').replace('240', '120'))
    assert found.returncode == 0, found.stderr
    assert output.read_text(encoding='utf-8') in found.stdout + '\n'
    content = json.loads(output.with_suffix('.json').read_text(encoding='utf-8'))
    (row,) = content['rows']
    assert row['median']['registered'] == 1.0
    assert row['median']['peak_mb'] > 100
    assert content['settings'] == [word for word in short if word != '--set']
    again = benchmark(*words, WALK)
    assert again.returncode == 2
    assert again.stderr.count('\n') == 1 and 'exists already' in again.stderr


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (('--set', 'optimizer.step=9', 'no_such_folder'), 'did you mean optimizer.steps'),
        (('no_such_folder',), 'no_such_folder'),
    ],
)
def test_a_refusal_is_one_line(words: tuple[str, ...], told: str) -> None:
    found = benchmark(*words)
    assert found.returncode == 2
    assert found.stderr.startswith('refine: error: ') and found.stderr.count('\n') == 1
    assert told in found.stderr


def test_a_recording_without_truth_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / 'times.txt').write_text('0.0 a.png\n')
    (tmp_path / 'calibration.yaml').write_text(
        'fx: 50\nfy: 50\ncx: 32\ncy: 24\nwidth: 64\nheight: 48\n'
    )
    with pytest.raises(UsageError, match='no ground truth'):
        run.open_recording(str(tmp_path), tmp_path / 'pictures')
    assert not (tmp_path / 'pictures').exists()


def test_names_are_checked_and_the_help_tells_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse(['a']).intrinsics == ['unknown', 'known']
    assert parse(['--intrinsics', 'refine', 'a']).intrinsics == ['refine']
    with pytest.raises(SystemExit):
        parse(['--intrinsics', 'guessed', 'a'])
    assert "'guessed' is none of unknown, refine, known" in capsys.readouterr().err
    monkeypatch.setenv('COLUMNS', '80')
    with pytest.raises(SystemExit):
        parse(['--help'])
    text = capsys.readouterr().out
    assert all(name in text for name in (*SYSTEMS, *INTRINSICS))


def test_every_system_can_be_found() -> None:
    for system in SYSTEMS.values():
        assert isinstance(system, System)
        assert (ROOT / 'benchmarks' / 'refine' / f'{system.module}.py').is_file()
