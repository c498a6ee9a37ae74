# SPDX-License-Identifier: Apache-2.0
"""``flowcam refine`` that ends early keeps its work, and goes on from it to the same result."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Words = Callable[..., list[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]

SOURCE = 'synthetic:orbit?frames=8&fps=4&width=200&height=150'
SHORT = [
    '--checkpoint-steps=4',
    *(
        f'--set={option}'
        for option in (
            'intrinsics.mode=known',
            'store.pixels=5000',
            'optimizer.start_steps=5',
            'optimizer.steps=12',
            'dense.pixels=2000',
            'threads=1',
            'export.pictures=false',
        )
    ),
]
KEPT = 'the same command with --resume goes on'
# What tells of the run itself, not of the recording.
TOLD = {'report.html', 'run.json'}


def refine(output: Path, *more: object) -> tuple[object, ...]:
    return ('refine', SOURCE, '--output', output, *SHORT, *more)


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob('*') if p.is_file() and p.name not in TOLD)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope='module')
def whole(flowcam: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a run comes to that nothing interrupts."""
    output = tmp_path_factory.mktemp('whole') / 'result'
    result = flowcam(*refine(output, '--no-cache'))
    assert result.returncode in (0, 4), result.stderr
    assert [p.name for p in output.parent.iterdir()] == ['result']
    return output


def ended(words: list[str], stage: str, number: int = signal.SIGINT, times: int = 1) -> str:
    """End a run by signals, within a stage or after the first checkpoint of the optimisation."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line == f'flowcam: {stage}\n':
            break
    work = Path(words[words.index('--output') + 1] + '.unfinished')
    if stage == 'optimising':
        while not (work / 'checkpoints/descent.safetensors').exists() and process.poll() is None:
            time.sleep(0.01)
    for _ in range(times):
        process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number), errors
    assert 'Traceback' not in errors and output == ''
    return errors


@pytest.mark.parametrize('stage', ['reading', 'optimising', 'writing'])
def test_interrupted_it_goes_on_to_the_same_result(
    whole: Path, tmp_path: Path, command: Words, flowcam: Run, stage: str
) -> None:
    output, unfinished = tmp_path / 'deep' / 'result', tmp_path / 'deep' / 'result.unfinished'
    errors = ended(command(*refine(output)), stage, times=2)
    kept = f'flowcam: the work so far is kept in {unfinished}: {KEPT}'
    assert errors.splitlines()[-2:] == [kept, 'flowcam: interrupted']
    assert os.listdir(tmp_path / 'deep') == ['result.unfinished'], 'nothing half-written'
    assert (unfinished / 'frames/records.json').exists() == (stage != 'reading')
    done = (unfinished / 'checkpoints/descent.safetensors').exists()
    assert done == (stage != 'reading')
    again = flowcam(*refine(output, '--resume'))
    assert again.returncode in (0, 4), again.stderr
    assert os.listdir(tmp_path / 'deep') == ['result']
    assert contents(output) == contents(whole)
    one, other = (json.loads((p / 'run.json').read_text()) for p in (output, whole))
    assert one['resumed'] and not other['resumed']
    assert one['verdict'] == other['verdict'] and one['camera'] == other['camera']


def test_killed_it_goes_on_too(whole: Path, tmp_path: Path, command: Words, flowcam: Run) -> None:
    output, unfinished = tmp_path / 'result', tmp_path / 'result.unfinished'
    ended(command(*refine(output)), 'optimising', signal.SIGKILL)
    again = flowcam(*refine(output, '--resume'))
    assert again.returncode in (0, 4), again.stderr
    assert contents(output) == contents(whole) and not unfinished.exists()


def test_without_resume_unfinished_work_is_left_alone(tmp_path: Path, flowcam: Run) -> None:
    (tmp_path / 'result.unfinished').mkdir()
    (tmp_path / 'result.unfinished/precious').write_text('x')
    result = flowcam(*refine(tmp_path / 'result'))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert 'result.unfinished holds the unfinished work' in line and '--resume' in line
    again = flowcam(*refine(tmp_path / 'result', '--resume'))
    assert again.returncode == 2 and 'holds no work that can be resumed' in again.stderr
    assert (tmp_path / 'result.unfinished/precious').read_text() == 'x'


def test_resume_is_refused_where_it_would_not_be_the_same(
    tmp_path: Path, command: Words, flowcam: Run
) -> None:
    output = tmp_path / 'result'
    nothing = flowcam(*refine(output, '--resume'))
    assert nothing.returncode == 2
    assert nothing.stderr.startswith('flowcam: error: nothing to resume: there is no ')
    ended(command(*refine(output)), 'reading')
    other = flowcam(*refine(output, '--resume', '--set=optimizer.steps=13'))
    begun = tmp_path / 'result.unfinished/begun.json'
    facts = json.loads(begun.read_text())
    facts['versions']['flowcam_ros'] = '0.0.1'
    begun.write_text(json.dumps(facts))
    newer = flowcam(*refine(output, '--resume'))
    for result, words in (
        (other, 'other options (optimizer.steps: was 12, is 13)'),
        (newer, 'other versions (flowcam_ros: was 0.0.1, is '),
    ):
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith('flowcam: error: ') and words in line
    assert os.listdir(tmp_path) == ['result.unfinished']


def test_a_damaged_checkpoint_is_one_line(
    tmp_path: Path, command: Words, flowcam: Run, whole: Path
) -> None:
    output = tmp_path / 'result'
    ended(command(*refine(output)), 'optimising')
    file = tmp_path / 'result.unfinished/checkpoints/descent.safetensors'
    file.write_bytes(file.read_bytes()[:-7])
    result = flowcam(*refine(output, '--resume'))
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    (line,) = (x for x in result.stderr.splitlines() if x.startswith('flowcam: error: '))
    assert f'{file}: the checkpoint cannot be read' in line and 'delete it' in line
    file.unlink()
    assert flowcam(*refine(output, '--resume')).returncode in (0, 4)
    assert contents(output) == contents(whole)


@pytest.mark.parametrize(
    ('largest', 'last', 'named'),
    [
        (20_000, 'reading', 'frames while they are worked on'),
        (300_000, 'optimising', 'descent.safetensors: the checkpoint cannot be written'),
    ],
)
def test_a_full_disk_is_one_line(
    flowcam: Run, tmp_path: Path, largest: int, last: str, named: str, whole: Path
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    output = tmp_path / 'result'
    result = flowcam(*refine(output, '--no-cache'), preexec_fn=limit)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    (line,) = (x for x in result.stderr.splitlines() if x.startswith('flowcam: error: '))
    assert named in line and ('File too large' in line or 'the disk is full' in line)
    stages = [x for x in result.stderr.splitlines() if x.count(' ') == 1]
    assert stages[-1] == f'flowcam: {last}'
    if last == 'reading':
        assert os.listdir(tmp_path) == [], 'nothing that is worth to be kept'
        return
    assert os.listdir(tmp_path) == ['result.unfinished'] and KEPT in result.stderr
    assert not list((tmp_path / 'result.unfinished/checkpoints').iterdir())
    assert flowcam(*refine(output, '--resume')).returncode in (0, 4)
    assert contents(output) == contents(whole)


def test_an_input_that_cannot_be_used_leaves_nothing(flowcam: Run, tmp_path: Path) -> None:
    source = 'synthetic:rotation?frames=24&width=200&height=150'
    result = flowcam('refine', source, '--output', tmp_path / 'result', *SHORT)
    assert result.returncode == 1 and 'parallax' in result.stderr and KEPT not in result.stderr
    assert os.listdir(tmp_path) == []
