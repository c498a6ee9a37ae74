# SPDX-License-Identifier: Apache-2.0
"""Names of pictures as names of files."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from flowcam_ros.errors import OutputError


def check_names(names: Sequence[str]) -> None:
    """Raise OutputError unless the names can be files of one folder and be told apart.

    A name may lead into a folder below (``left/0001.jpg``), never out of the one it is in.
    """
    for name in names:
        parts = PurePosixPath(name).parts
        leads_out = not parts or '..' in parts or name.startswith('/') or name.endswith('/')
        # Control characters end names early, lone surrogates are bytes that are no text.
        odd = any(unicodedata.category(letter) in ('Cc', 'Cs') for letter in name)
        if leads_out or odd or '\\' in name:
            raise OutputError(
                f'{name!r} cannot be the name of a picture: rename it to plain letters, digits '
                'and a suffix such as .jpg'
            )
    if len({str(PurePosixPath(name)) for name in names}) < len(names):
        raise OutputError('two pictures have the same name: rename them')


def stems(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names without their suffixes; whole if two of them would then be alike."""
    short = tuple(str(PurePosixPath(name).with_suffix('')) for name in names)
    return short if len(set(short)) == len(names) else tuple(names)
