# SPDX-License-Identifier: Apache-2.0
"""JSON that every parser reads: no NaN, no infinity, no numpy types."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flowcam_ros.export.atomic import write_text


def plain(value: object) -> object:
    """Return the value made of dicts, lists, strings, numbers and None.

    NaN and infinity become None; data classes, mappings, arrays, paths and enums their contents.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # The name of a file need not be UTF-8; Python holds its bytes as lone surrogates.
        return value.encode('utf-8', 'backslashreplace').decode()
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (int, np.integer)):
        return int(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f'{type(value).__name__} has no JSON form here')


def dumps(value: object) -> str:
    """Return readable JSON text that ends with a newline."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + '\n'


def write_json(path: Path, value: object) -> None:
    """Write a new JSON file.

    Raises:
        OutputError: the file exists already or cannot be written.
    """
    write_text(path, dumps(value))
