# SPDX-License-Identifier: Apache-2.0
"""Systems in processes of their own, and what happens when one cannot run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import run, worker
from benchmarks.peers.__main__ import check_settings, parse
from benchmarks.peers.environment import ROOT
from benchmarks.peers.registry import SYSTEMS, Entry
from benchmarks.peers.system import System
from benchmarks.process import NotInstalled, WorkerFailed
from flowcam_ros.errors import UsageError

WALK = 'synthetic:walk?width=160&height=120&frames=6'


@pytest.fixture
def _own_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the peers with this Python, which has OpenCV 4 and no Open3D."""
    monkeypatch.setattr(run, 'PYTHON', Path(sys.executable))


@pytest.mark.usefixtures('_own_python')
def test_systems_run_in_turns_and_a_missing_one_leaves_the_others_alone() -> None:
    recording = run.open_recording(WALK, ['depth', 'mono'])
    assert recording.modes == ('depth', 'mono')
    systems = ['opencv_rgbd', 'klt_pnp']
    missing, tracker = run.run_all([recording], systems, 2, [], 60.0)
    assert missing.failure.startswith('not installed: ') and not missing.runs
    assert not tracker.failure and len(tracker.runs) == 2
    assert tracker.runs[0]['frames'] == 6
    assert tracker.versions


def test_without_the_environment_of_the_peers_they_are_told_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, 'PYTHON', ROOT / 'no_such_environment' / 'python')
    with pytest.raises(NotInstalled, match='not installed'):
        run.run_worker('klt_pnp', 'depth', WALK, [], 60.0)


@pytest.mark.usefixtures('_own_python')
def test_a_system_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(WorkerFailed, match=r'more than 0\.01 s'):
        run.run_worker('klt_pnp', 'depth', WALK, [], 0.01)


def test_this_package_is_run_with_its_options_and_tells_its_consistency(tmp_path: Path) -> None:
    output = tmp_path / 'table.md'
    words = ['--systems', 'flowcam', '--modes', 'depth', '--runs', '1', '--output', str(output)]
    command = [sys.executable, '-m', 'benchmarks.peers', *words, '--set', 'threads=1', WALK]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    assert output.read_text(encoding='utf-8') in found.stdout + '\n'
    (row,) = json.loads(output.with_suffix('.json').read_text(encoding='utf-8'))['rows']
    assert row['median']['coverage'] == 1.0
    assert row['median']['anees'] > 0.0
    again = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 2
    assert again.stderr.count('\n') == 1 and 'exists already' in again.stderr


@pytest.mark.parametrize(
    ('setting', 'told'),
    [
        ('pose.point=9', 'did you mean pose.points'),
        ('pose.points', 'key=value'),
        ('depth.source=stereo', '--modes'),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_opened(setting: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_settings(['threads=1', setting], ['depth', 'mono'])


def test_a_refusal_is_one_line() -> None:
    command = [sys.executable, '-m', 'benchmarks.peers', '--set', 'nonsense=1', 'no_such_folder']
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 2
    assert found.stderr.startswith('peers: error: ') and found.stderr.count('\n') == 1
    assert 'nonsense' in found.stderr


def test_a_wrong_setting_of_a_worker_is_told_in_one_line() -> None:
    with pytest.raises(WorkerFailed, match='unknown option nonsense') as caught:
        run.run_worker('flowcam', 'depth', WALK, ['nonsense=1'], 60.0)
    assert not isinstance(caught.value, NotInstalled)


def test_a_library_that_cannot_be_loaded_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(entry: Entry, mode: str, settings: list[str]) -> System:
        raise OSError('libusb.so: file too short')

    monkeypatch.setattr(Entry, 'make', fail)
    assert worker.start('klt_pnp', 'depth', []) == 1
    assert capfd.readouterr().err == 'cannot be started: libusb.so: file too short\n'


def test_the_help_says_the_defaults_and_breaks_no_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    with pytest.raises(SystemExit):
        parse(['--help'])
    text = capsys.readouterr().out
    assert '(3)' in text and '(600)' in text
    assert all(name in text for name in SYSTEMS)


def test_a_recording_without_truth_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / 'times.txt').write_text('0.0 a.png\n')
    (tmp_path / 'calibration.yaml').write_text(
        'fx: 50\nfy: 50\ncx: 32\ncy: 24\nwidth: 64\nheight: 48\n'
    )
    with pytest.raises(UsageError, match='no ground truth'):
        run.open_recording(str(tmp_path), ['mono'])
