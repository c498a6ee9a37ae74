# SPDX-License-Identifier: Apache-2.0
"""What make says before it sets anything up."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.peers.environment import ROOT

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make where nothing but the Makefile is, so that a set-up would fail."""
    shutil.copy(ROOT / 'Makefile', folder)
    # Variables of a make that runs these tests would reach this one.
    unset = [f'--unset={name}' for name in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'SEQUENCES')]
    command = ['env', *unset, 'make', *words]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.parametrize('words', [(), ('help',)])
def test_make_alone_prints_the_help(words: tuple[str, ...], tmp_path: Path) -> None:
    result = make(tmp_path, *words)
    assert result.returncode == 0 and result.stderr == ''
    assert 'make bench-peers SEQUENCES=' in result.stdout
    assert 'make bench-refine SEQUENCES=' in result.stdout
    assert '#' not in result.stdout and 'SPDX' not in result.stdout


@pytest.mark.parametrize('target', ['bench-peers', 'bench-refine'])
@pytest.mark.parametrize('words', [(), ('SEQUENCES= ',)])
def test_a_comparison_asks_for_recordings_at_once(
    target: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    result = make(tmp_path, target, *words)
    assert result.returncode == 2
    assert result.stdout == ''
    assert result.stderr.splitlines()[0] == (
        f"{target}: say which recordings: make {target} SEQUENCES='DIR...'"
    )
