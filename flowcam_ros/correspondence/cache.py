# SPDX-License-Identifier: Apache-2.0
"""Results kept on disk, found again by what they were computed from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import stat
import time
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import cv2
import numpy as np

from flowcam_ros.code_version import code_version
from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.errors import OutputError

_log = logging.getLogger(__name__)
Arrays = dict[str, np.ndarray]
_SUFFIX = '.npz'
# Results follow from the source of these.
_SOURCES = ('flowcam_ros.correspondence', 'flowcam_ros.geometry')
# A file that is being written is no older than this; an older one was left by a process that died.
_WRITTEN_WITHIN_S = 86_400.0
# What reading a file with wrong bytes can end in.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
)


def digest_of_pictures(pictures: Pictures) -> str:
    """Return a text that differs when a picture or a mask does."""
    digest = hashlib.blake2b(digest_size=16)
    for index in range(len(pictures)):
        usable = pictures.usable(index)
        for part in (pictures.grey(index), np.zeros((0, 0)) if usable is None else usable):
            digest.update(repr((part.shape, str(part.dtype))).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def digest_of_file(path: Path | str) -> str:
    """Return a text that differs when the content does; '' where it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with Path(path).expanduser().open('rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ''  # who needs the file says so
    return digest.hexdigest()


def cache_key(kind: str, *parts: Mapping[str, object] | str) -> str:
    """Return the name of a result.

    It changes with the parts, with the code that made it and with the version of OpenCV.

    Args:
        kind: what it is a result of, a word.
        parts: what it depends on: texts such as :func:`digest_of_pictures`, and options.
    """
    text = json.dumps([kind, code_version(*_SOURCES), cv2.__version__, np.__version__, *parts])
    return f'{kind}-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}'


@runtime_checkable
class Cache(Protocol):
    """Keeps results."""

    def result(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return what was kept under ``key``, else compute and keep it.

        Args:
            key: from :func:`cache_key`.
            compute: returns arrays by name; none of Python objects.
        """
        ...


class CacheChain:
    """Several caches: what one does not hold is asked of the next, and then kept by both.

    Args:
        caches: the first is asked first; none at all always computes.
    """

    def __init__(self, *caches: Cache) -> None:
        self._caches = caches

    def result(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """See Cache."""
        for cache in reversed(self._caches):
            compute = partial(cache.result, key, compute)
        return compute()


class ResultCache:
    """A folder of arrays, bounded in size; those not used for longest go first.

    Any number of processes may use it at a time. A file that is damaged is told in a warning and
    computed anew. Where the folder cannot be written, a warning is logged, and what was computed
    is returned all the same.

    Args:
        folder: made when the first result is kept.
        max_bytes: most that the folder may hold.

    Raises:
        OutputError: something that is no folder has its name, or it cannot be looked into.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        try:
            is_other = not stat.S_ISDIR(folder.stat().st_mode)
        except FileNotFoundError:
            is_other = False
        except OSError as error:
            raise OutputError(f'{folder}: no place for a cache ({error.strerror})') from error
        if is_other:
            raise OutputError(f'{folder}: the cache needs a folder, and this is a file')
        self._folder = folder
        self._max_bytes = max_bytes

    def result(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """See Cache."""
        path = self._folder / (key + _SUFFIX)
        found = _read(path)
        if found is not None:
            return found
        result = compute()
        try:
            self._keep(path, result)
        except OSError as error:
            _log.warning('%s: a result could not be kept (%s)', self._folder, error.strerror)
        return result

    def _keep(self, path: Path, arrays: Arrays) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}')
        try:
            with temporary.open('xb') as file:
                _write(file, arrays)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        """Remove what was not used for longest until the rest fits; the newest stays."""
        files = self._files()
        total = sum(status.st_size for status, _ in files)
        for status, file in sorted(files, key=lambda f: f[0].st_mtime_ns):
            left_behind = file.suffix != _SUFFIX
            if left_behind and time.time() - status.st_mtime < _WRITTEN_WITHIN_S:
                continue
            if (total > self._max_bytes and file != newest) or left_behind:
                file.unlink(missing_ok=True)
                total -= status.st_size

    def _files(self) -> list[tuple[os.stat_result, Path]]:
        """Return the results, and what is being written, but nothing of others."""
        found = []
        for file in self._folder.iterdir():
            # another process may remove it at any moment
            with contextlib.suppress(FileNotFoundError):
                if file.suffix == _SUFFIX or f'{_SUFFIX}.' in file.name:
                    found.append((file.stat(), file))
        return found


def _write(file: BinaryIO, arrays: Arrays) -> None:
    """Write arrays as numpy's npz; numpy's own writer would fall back on pickle."""
    with zipfile.ZipFile(file, 'w') as archive:
        for name, array in arrays.items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read(path: Path) -> Arrays | None:
    """Return the arrays of a file and note that it was used; None if it is damaged or absent."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        _log.warning('%s is damaged and is made anew (%s)', path, type(error).__name__)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return arrays
