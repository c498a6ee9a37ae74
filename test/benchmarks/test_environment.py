# SPDX-License-Identifier: Apache-2.0
"""The environment of the peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import environment


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Pretend to install into a folder; return the requirement files it was asked for."""
    files: list[str] = []

    def call(command: list[str]) -> None:
        (tmp_path / 'bin').mkdir(exist_ok=True)
        (tmp_path / 'bin' / 'python').touch()
        if 'pip' in command:
            files.append(Path(command[-1]).stem)
        if command[-1].endswith('open3d.txt') and len(files) < 3:
            raise environment.EnvironmentFailed('ERROR: no wheel for this machine')

    monkeypatch.setattr(environment, 'VENV', tmp_path)
    monkeypatch.setattr(environment, 'PYTHON', tmp_path / 'bin' / 'python')
    monkeypatch.setattr(environment, '_call', call)
    return files


def test_what_cannot_be_installed_is_told_in_a_line_and_tried_again(installed: list[str]) -> None:
    assert environment.prepare() == ['peers: open3d: ERROR: no wheel for this machine']
    assert installed == ['requirements-opencv', 'requirements-open3d']
    assert environment.prepare() == []
    assert installed[2:] == ['requirements-open3d']
    assert environment.prepare() == []
    assert len(installed) == 3


@pytest.mark.parametrize('name', environment.REQUIREMENTS)
def test_every_version_of_a_peer_is_pinned(name: str) -> None:
    file = Path(environment.__file__).with_name(f'requirements-{name}.txt')
    lines = [line for line in file.read_text().splitlines() if not line.startswith('#')]
    assert lines and all('==' in line.partition(';')[0] for line in lines)
