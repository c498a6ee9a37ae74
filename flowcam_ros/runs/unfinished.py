# SPDX-License-Identifier: Apache-2.0
"""The folder of a refinement that is not finished yet, from which it can go on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowcam_ros.correspondence.cache import Cache, ResultCache
from flowcam_ros.errors import FlowcamError, OutputError, UnavailableError, UsageError
from flowcam_ros.export.json_file import plain, write_json
from flowcam_ros.flowmap.checkpoint import Checkpoints
from flowcam_ros.flowmap.kept_frames import has_all_frames

_BEGUN = 'begun.json'
_AGAIN = 'delete it to begin anew'


@dataclass(frozen=True)
class Keeping:
    """That work shall be kept where it is interrupted.

    Attributes:
        resume: go on with work that was kept before.
        every: steps of the optimisation between two checkpoints.
        on_kept: told the folder when the work ends early and is kept.
    """

    resume: bool
    every: int
    on_kept: Callable[[Path], None]


@dataclass(frozen=True)
class Work:
    """Where a refinement puts what it needs for itself.

    Attributes:
        folder: of its files.
        checkpoints: of the optimisation; None if it cannot be resumed anyhow.
        cache: of its correspondences, as above.
    """

    folder: Path
    checkpoints: Checkpoints | None = None
    cache: Cache | None = None


def unfinished_folder(output: Path) -> Path:
    """Return where the work for a result is kept: beside it."""
    real = Path(os.path.realpath(output))
    return real.with_name(f'{real.name}.unfinished')


@contextlib.contextmanager
def unfinished_work(
    output: Path, identity: Mapping[str, object], keeping: Keeping
) -> Iterator[Work]:
    """Give the place of the work for a result; it is removed when the block ends well.

    It is kept when the block is interrupted, or when something other than the input or the options
    stops it after the frames were read.

    Args:
        output: where the result will be.
        identity: what the work follows from; see run_identity.py.
        keeping: whether to go on with what is there.

    Raises:
        UsageError: there is unfinished work although it is not to be resumed, or none although it
            is, or it follows from something else.
        OutputError: the folder cannot be made, or another process works in it.
    """
    folder = unfinished_folder(output)
    if keeping.resume:
        _check_same(folder, identity)
    else:
        _begin(folder, identity)
    checkpoints = Checkpoints(folder / 'checkpoints', keeping.every)
    cache = ResultCache(folder / 'correspondences', sys.maxsize)
    with _alone(folder):
        try:
            yield Work(folder, checkpoints, cache)
        except BaseException as error:
            if _is_worth_keeping(folder, error):
                keeping.on_kept(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _is_worth_keeping(folder: Path, error: BaseException) -> bool:
    if isinstance(error, KeyboardInterrupt):
        return True
    if isinstance(error, FlowcamError) and not isinstance(error, (OutputError, UnavailableError)):
        return False  # it would end the same way again
    return has_all_frames(folder)


def _begin(folder: Path, identity: Mapping[str, object]) -> None:
    if os.path.lexists(folder):
        raise UsageError(
            f'{folder} holds the unfinished work for this output: go on with it by --resume, or '
            f'{_AGAIN}'
        )
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f'{folder}: cannot be made ({error.strerror})') from error
    try:
        write_json(folder / _BEGUN, identity)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_same(folder: Path, identity: Mapping[str, object]) -> None:
    if not os.path.lexists(folder):
        raise UsageError(f'nothing to resume: there is no {folder}; leave out --resume')
    try:
        begun: dict[str, Any] = json.loads((folder / _BEGUN).read_text('utf-8'))
        now: dict[str, Any] = json.loads(json.dumps(plain(identity)))
        differences = [
            f'{part} ({", ".join(_differences(begun[part], now[part]))})'
            for part in now
            if begun[part] != now[part]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f'{folder} holds no work that can be resumed; {_AGAIN}') from error
    if differences:
        raise UsageError(
            f'{folder} was begun with other {" and ".join(differences)}; repeat the command that '
            f'began it, with --resume, or {_AGAIN}'
        )


def _differences(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            yield f'{name}: was {before.get(name)}, is {now.get(name)}'


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out."""
    with (folder / _BEGUN).open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f'another process is working in {folder}') from error
        except OSError:
            pass  # a file system without locks
        yield
