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

from flowcam_ros.cli.main import main

Words = Callable[..., list[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]
Here = Callable[..., tuple[int, list[str]]]

SOURCE = 'synthetic:orbit?frames=8&fps=4&width=200&height=150'
SHORT = [
    '--checkpoint-steps=4',
    *(
        f'--set={option}'
        for option in (
            'intrinsics.mode=known',
            'store.pixels=5000',
            'optimizer.start_steps=5',
            'optimizer.steps=25',
            'dense.pixels=2000',
            'threads=1',
            'export.pictures=false',
        )
    ),
]
KEPT = 'the same command with --resume goes on'
# What tells of the run itself, not of the recording.
TOLD = {'report.html', 'run.json'}


def words_of(output: Path, *more: object) -> list[str]:
    return ['refine', SOURCE, '--output', str(output), *SHORT, *map(str, more)]


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob('*') if p.is_file() and p.name not in TOLD)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a run comes to that nothing interrupts."""
    output = tmp_path_factory.mktemp('whole') / 'result'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('signal.signal', lambda *_: None)
        assert main(words_of(output, '--no-cache')) in (0, 4)
    assert os.listdir(output.parent) == ['result']
    return output


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return a function that refines in this process and gives exit code and error lines."""
    monkeypatch.setattr('signal.signal', lambda *_: None)

    def run(*words: object) -> tuple[int, list[str]]:
        capsys.readouterr()
        code = main(words_of(*words))
        return code, capsys.readouterr().err.splitlines()

    return run


def ended(words: list[str], stage: str, number: int = signal.SIGINT) -> str:
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
    process.send_signal(number)
    process.send_signal(number)  # in haste
    output, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number), errors
    assert 'Traceback' not in errors and output == ''
    return errors


@pytest.mark.parametrize('stage', ['reading', 'optimising', 'writing'])
def test_interrupted_it_goes_on_to_the_same_result(
    whole: Path, tmp_path: Path, command: Words, here: Here, stage: str
) -> None:
    output, unfinished = tmp_path / 'deep' / 'result', tmp_path / 'deep' / 'result.unfinished'
    errors = ended(command(*words_of(output)), stage)
    kept = f'flowcam: the work so far is kept in {unfinished}: {KEPT}'
    assert errors.splitlines()[-2:] == [kept, 'flowcam: interrupted']
    assert os.listdir(tmp_path / 'deep') == ['result.unfinished'], 'nothing half-written'
    assert (unfinished / 'frames/records.json').exists() == (stage != 'reading')
    done = (unfinished / 'checkpoints/descent.safetensors').exists()
    assert done == (stage != 'reading')
    assert here(output, '--resume')[0] in (0, 4)
    assert os.listdir(tmp_path / 'deep') == ['result']
    assert contents(output) == contents(whole)
    one, other = (json.loads((p / 'run.json').read_text()) for p in (output, whole))
    assert one['resumed'] and not other['resumed']
    assert one['verdict'] == other['verdict'] and one['camera'] == other['camera']


def test_killed_it_is_refused_until_it_goes_on_as_it_began(
    whole: Path, tmp_path: Path, command: Words, here: Here
) -> None:
    output, unfinished = tmp_path / 'result', tmp_path / 'result.unfinished'
    ended(command(*words_of(output)), 'optimising', signal.SIGKILL)
    begun = (unfinished / 'begun.json').read_text()
    facts = json.loads(begun)
    for change, words, told in (
        ({}, (), 'result.unfinished holds the unfinished work for this output: go on with it by'),
        ({}, ('--resume', '--set=seed=3'), 'other options (seed: was 0, is 3)'),
        ({'flowcam_ros': '0.0.1'}, ('--resume',), 'versions (flowcam_ros: was 0.0.1, is '),
    ):
        changed = {**facts, 'versions': {**facts['versions'], **change}}
        (unfinished / 'begun.json').write_text(json.dumps(changed))
        code, (line,) = here(output, *words)
        assert code == 2 and line.startswith('flowcam: error: ') and told in line
    (unfinished / 'begun.json').write_text(begun)
    assert here(output, '--resume')[0] in (0, 4)
    assert contents(output) == contents(whole) and not unfinished.exists()


def test_what_is_not_there_or_not_its_own_is_not_resumed(tmp_path: Path, here: Here) -> None:
    code, (line,) = here(tmp_path / 'result', '--resume')
    assert code == 2 and line.startswith('flowcam: error: nothing to resume: there is no ')
    (tmp_path / 'result.unfinished').mkdir()
    (tmp_path / 'result.unfinished/precious').write_text('x')
    for words, told in (((), 'holds the unfinished'), (('--resume',), 'holds no work that can')):
        code, (line,) = here(tmp_path / 'result', *words)
        assert code == 2 and told in line
    assert (tmp_path / 'result.unfinished/precious').read_text() == 'x'


def limited(largest: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def test_a_disk_that_is_full_while_it_reads_leaves_nothing(flowcam: Run, tmp_path: Path) -> None:
    result = flowcam(*words_of(tmp_path / 'result'), preexec_fn=limited(20_000))
    *stages, line = result.stderr.splitlines()
    assert result.returncode == 1 and stages == ['flowcam: reading']
    assert line.startswith('flowcam: error: ') and 'frames while they are worked on' in line
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_full_later_keeps_the_work(
    flowcam: Run, tmp_path: Path, here: Here, whole: Path
) -> None:
    output, unfinished = tmp_path / 'result', tmp_path / 'result.unfinished'
    result = flowcam(*words_of(output, '--no-cache'), preexec_fn=limited(300_000))
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    (line,) = (x for x in result.stderr.splitlines() if x.startswith('flowcam: error: '))
    file = unfinished / 'checkpoints/descent.safetensors'
    assert f'{file}: the checkpoint cannot be written (File too large)' in line
    assert KEPT in result.stderr and os.listdir(tmp_path) == ['result.unfinished']
    assert not list(file.parent.iterdir()), 'nothing half-written'
    file.write_bytes(b'damaged')
    code, lines = here(output, '--resume')
    (line,) = (x for x in lines if x.startswith('flowcam: error: '))
    assert code == 1 and f'{file}: the checkpoint cannot be read' in line and 'delete it' in line
    file.unlink()
    assert here(output, '--resume')[0] in (0, 4)
    assert contents(output) == contents(whole)


def test_an_input_that_cannot_be_used_leaves_nothing(tmp_path: Path, here: Here) -> None:
    code, lines = here(tmp_path / 'result', '--set=pairs.min_matches=1000')
    assert code == 1 and 'no two chosen frames show the same place' in lines[-1]
    assert not any(KEPT in line for line in lines)
    assert os.listdir(tmp_path) == []
