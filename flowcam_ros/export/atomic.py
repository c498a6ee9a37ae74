# SPDX-License-Identifier: Apache-2.0
"""Files and folders that appear whole or not at all, and never replace an earlier result."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from flowcam_ros.errors import OutputError, UsageError


class OutputExists(OutputError, UsageError):
    """The output names an earlier result, which is kept."""

    exit_code = 2


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that becomes ``path`` when the block ends without an exception.

    For what is too large to be made in memory; any exception, Ctrl-C included, removes it.

    Raises:
        OutputExists: ``path`` exists already; it is left alone.
        OutputError: the file cannot be written (no permission, disk full, ...).
    """
    check_new_file(path)
    temporary = _neighbour(path)
    try:
        with temporary.open('xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_new_file(path)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OutputError(f'{path}: cannot be written ({error.strerror})') from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a new file through a temporary neighbour, so that it appears complete or not at all.

    Raises:
        OutputExists: ``path`` exists already; it is left alone.
        OutputError: the file cannot be written (no permission, disk full, ...).
    """
    with new_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a new UTF-8 text file; as :func:`write_bytes`."""
    write_bytes(path, content.encode())


def check_new_file(path: Path) -> None:
    """Raise OutputExists if there is anything at ``path``."""
    if os.path.lexists(path):
        raise OutputExists(f'{path} exists already; it is not overwritten: name another file')


def check_new_folder(path: Path) -> None:
    """Raise unless ``path`` is free or an empty folder.

    Raises:
        OutputExists: it is a file, or a folder that holds something.
        OutputError: it cannot be looked into.
    """
    if not os.path.lexists(path):
        return
    try:
        occupied = not path.is_dir() or any(path.iterdir())
    except OSError as error:
        raise OutputError(f'{path}: cannot be looked into ({error.strerror})') from error
    if occupied:
        kind = 'holds files' if path.is_dir() else 'is a file'
        raise OutputExists(f'{path} {kind} already; it is not overwritten: name a new folder')


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` when the block ends without an exception.

    Any exception, Ctrl-C included, removes it with everything in it.

    Raises:
        OutputExists: ``path`` is a file or a folder that holds something.
        OutputError: the folder cannot be made or moved into place.
    """
    check_new_folder(path)
    try:
        # Beside what a link leads to, as an empty folder gives way to a folder but not to a link.
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _neighbour(path)
        temporary.mkdir()
    except OSError as error:
        raise OutputError(f'{path}: cannot be made ({error.strerror})') from error
    try:
        yield temporary
        check_new_folder(path)
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise OutputError(f'{path}: cannot be moved into place ({error.strerror})') from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, inside one that is being written.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f'{path}: cannot be made ({error.strerror})') from error


def _neighbour(path: Path) -> Path:
    """Return a free hidden name beside ``path``, on the same file system."""
    return path.with_name(f'.{path.name}.{secrets.token_hex(4)}')
