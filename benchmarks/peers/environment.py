# SPDX-License-Identifier: Apache-2.0
"""The environment of the peers, ``.venv-peers``: their versions contradict this project's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.process import ROOT, clean_environment
from flowcam_ros.errors import FlowcamError

VENV = ROOT / '.venv-peers'
PYTHON = VENV / 'bin' / 'python'
# Each is installed by itself, so that one that cannot be had does not keep out the others.
REQUIREMENTS = ('opencv', 'open3d')


class EnvironmentFailed(FlowcamError):
    """The peers' packages cannot be installed."""


def prepare() -> list[str]:
    """Install what is missing or has changed; return a line for each part that cannot be had."""
    problems = []
    for name in REQUIREMENTS:
        try:
            _install(name)
        except EnvironmentFailed as error:
            problems.append(f'peers: {name}: {error}')
    return problems


def _install(name: str) -> None:
    file = Path(__file__).with_name(f'requirements-{name}.txt')
    digest = hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()
    stamp = VENV / f'installed-{name}'
    if stamp.exists() and stamp.read_text(encoding='utf-8') == digest:
        return
    print(f'peers: installing {name} into {VENV.name}', file=sys.stderr, flush=True)
    if not PYTHON.exists():
        _call([sys.executable, '-m', 'venv', str(VENV)])
    _call([str(PYTHON), '-m', 'pip', 'install', '--quiet', '--requirement', str(file)])
    stamp.write_text(digest, encoding='utf-8')


def _call(command: list[str]) -> None:
    result = subprocess.run(
        command, env=clean_environment(), check=False, capture_output=True, text=True
    )
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith('ERROR')]
        raise EnvironmentFailed((errors or result.stderr.splitlines() or ['no message'])[-1])
