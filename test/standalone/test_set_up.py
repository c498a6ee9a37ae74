# SPDX-License-Identifier: Apache-2.0
"""The set-up does what has changed, once, and begins anew after an interruption."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

STANDALONE = Path(__file__).resolve().parents[2] / 'standalone'


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STANDALONE))
    spec = importlib.util.spec_from_file_location(name, STANDALONE / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module with a checkout in a temporary folder."""
    module = load('set_up', monkeypatch)
    monkeypatch.setattr(module, 'ROOT', tmp_path)
    monkeypatch.setattr(module, 'VENV', tmp_path / '.venv')
    monkeypatch.setattr(module, 'PYTHON', tmp_path / '.venv' / 'bin' / 'python')
    monkeypatch.setattr(module, 'STAMPS', tmp_path / '.venv' / 'flowcam_setup')
    return module


def test_a_step_runs_when_its_key_has_changed(set_up) -> None:
    set_up.STAMPS.mkdir(parents=True)
    runs: list[str] = []
    for key in ('a', 'a', 'b', 'b', 'a'):
        set_up._step('name', 'what', key, lambda key=key: runs.append(key))
    assert runs == ['a', 'b', 'a']


def test_a_step_that_fails_runs_again_and_leaves_no_mark_of_interruption(set_up) -> None:
    set_up.STAMPS.mkdir(parents=True)

    def fail() -> None:
        raise set_up.SetUpError('no network')

    for _ in range(2):
        with pytest.raises(set_up.SetUpError):
            set_up._step('name', 'what', 'key', fail)
    assert list(set_up.STAMPS.iterdir()) == []


def test_after_an_interruption_the_environment_is_made_anew(set_up, monkeypatch) -> None:
    monkeypatch.setattr(set_up, '_run', make_environment)
    set_up._make_environment()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        set_up._step('name', 'what', 'key', interrupt)
    (set_up.VENV / 'half a package').touch()
    set_up._make_environment()
    assert not (set_up.VENV / 'half a package').exists()
    assert not list(set_up.STAMPS.glob('*.started'))


def test_a_checkout_that_was_moved_gets_a_new_environment(set_up, monkeypatch) -> None:
    monkeypatch.setattr(set_up, '_run', make_environment)
    set_up._make_environment()
    (set_up.VENV / 'mark').touch()
    set_up._make_environment()
    assert (set_up.VENV / 'mark').exists()
    (set_up.STAMPS / 'created').write_text('/elsewhere')
    set_up._make_environment()
    assert not (set_up.VENV / 'mark').exists()


def test_an_environment_of_the_users_own_is_never_removed(set_up) -> None:
    set_up.VENV.mkdir()
    (set_up.VENV / 'mine').touch()
    with pytest.raises(set_up.SetUpError, match='remove it'):
        set_up._make_environment()
    assert (set_up.VENV / 'mine').exists()


def make_environment(command: list[str]) -> None:
    """Stand for ``python -m venv``, which takes seconds."""
    python = Path(command[-1]) / 'bin' / 'python'
    python.parent.mkdir()
    python.symlink_to(sys.executable)


def test_the_digest_sees_names_and_content_but_no_builds(set_up, tmp_path) -> None:
    folder = tmp_path / 'msg'
    (folder / 'build').mkdir(parents=True)
    (folder / 'a.msg').write_text('int8 x')
    digests = [set_up._digest([folder])]
    (folder / 'build' / 'junk').write_text('1')
    assert set_up._digest([folder]) == digests[0]
    (folder / 'a.msg').write_text('int8 y')
    digests.append(set_up._digest([folder]))
    (folder / 'a.msg').rename(folder / 'b.msg')
    digests.append(set_up._digest([folder]))
    assert len(set(digests)) == 3


def test_another_build_of_torch_stays_until_another_is_asked_for(set_up) -> None:
    set_up.STAMPS.mkdir(parents=True)
    wished = set_up._torch_key('https://example.com/cu130')
    set_up._step('torch', 'torch', wished, lambda: None)
    assert set_up._torch_key('') == wished
    assert set_up._torch_key('https://example.com/cpu') != wished


def test_what_a_machine_lacks_is_said_with_what_to_do(monkeypatch) -> None:
    machine = load('machine', monkeypatch)
    monkeypatch.setattr(machine.importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setattr(machine.shutil, 'which', lambda name: None)
    monkeypatch.setattr(machine.sysconfig, 'get_path', lambda name: '/nowhere')
    sentences = machine.missing_parts()
    assert len(sentences) == 3
    assert all('sudo apt install' in sentence for sentence in sentences)


def test_other_machines_are_sent_to_ros(monkeypatch) -> None:
    machine = load('machine', monkeypatch)
    monkeypatch.setattr(machine.platform, 'machine', lambda: 'aarch64')
    (sentence,) = machine.missing_parts()
    assert 'use a ROS 2 installation' in sentence


@pytest.mark.skipif(not Path('/dev/shm').is_dir(), reason='no shared memory')
def test_only_shared_memory_that_nobody_uses_is_freed() -> None:
    folder = Path('/dev/shm')
    used, unused = (folder / f'fastrtps_test_{os.getpid()}_{what}' for what in ('used', 'unused'))
    unused.touch()
    with used.open('w'):
        subprocess.run([sys.executable, STANDALONE / 'free_shared_memory.py'], check=True)
        assert used.exists()
        assert not unused.exists()
    used.unlink()
