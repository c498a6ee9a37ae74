# SPDX-License-Identifier: Apache-2.0
"""Removes the shared memory that Fast DDS left behind in processes that were killed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

SHARED = Path('/dev/shm')
PATTERNS = ('fastrtps_*', 'sem.fastrtps_*')


def main() -> None:
    """Remove every file of Fast DDS that no process of this machine has open or mapped."""
    files = {file for pattern in PATTERNS for file in SHARED.glob(pattern)}
    if not files:
        return
    for file in files - _in_use():
        with suppress(FileNotFoundError, PermissionError):
            file.unlink()


def _in_use() -> set[Path]:
    used: set[Path] = set()
    for process in Path('/proc').glob('[0-9]*'):
        try:
            maps = (process / 'maps').read_text()
            used.update(link.readlink() for link in (process / 'fd').iterdir())
        except OSError:
            # Ended in the meantime, or another user's, whose files cannot be removed either.
            continue
        used.update(Path(line.split()[-1]) for line in maps.splitlines() if '/dev/shm/' in line)
    return used


if __name__ == '__main__':
    main()
