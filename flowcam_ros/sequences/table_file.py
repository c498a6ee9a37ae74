# SPDX-License-Identifier: Apache-2.0
"""Text files with one record a line, numbers or names separated by blanks or commas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flowcam_ros.errors import SequenceError, UsageError


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and words of each line that is neither empty nor a ``#`` comment.

    Raises:
        UsageError: there is no such file.
        SequenceError: the file cannot be read or is not text.
    """
    try:
        with path.open(encoding='utf-8-sig') as file:
            for number, line in enumerate(file, start=1):
                words = line.partition('#')[0].replace(',', ' ').split()
                if words:
                    yield number, words
    except FileNotFoundError as error:
        raise UsageError(f'{path} does not exist') from error
    except OSError as error:
        raise SequenceError(f'{path}: cannot be read ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise SequenceError(f'{path}: not a text file') from error
