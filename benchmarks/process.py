# SPDX-License-Identifier: Apache-2.0
"""Work in a process of its own that prints what it found as JSON."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from flowcam_ros.errors import FlowcamError

ROOT = Path(__file__).resolve().parents[1]
# Exit code of a process that misses a package.
NOT_INSTALLED = 4
# Of another environment; here they would mix it with this one.
_FOREIGN = ('PIP_PREFIX', 'PIP_TARGET', 'PYTHONHOME', 'PYTHONPATH', 'VIRTUAL_ENV')


class WorkerFailed(FlowcamError):
    """A process did not come to its end."""


class NotInstalled(WorkerFailed):
    """A package that it needs is missing."""


def clean_environment() -> dict[str, str]:
    """Return this process's environment for a Python that shall find this checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    return kept | {'PYTHONPATH': str(ROOT)}


def run_for_json(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> dict[str, Any]:
    """Run a command and return what it prints.

    Raises:
        NotInstalled: it ended with the code that says so.
        WorkerFailed: it ended with an error, whose last line is told, or took too long.
        FileNotFoundError: there is no such program.
    """
    try:
        result = subprocess.run(
            command,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            errors='backslashreplace',
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerFailed(f'took more than {timeout_s:g} s') from error
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f'exit code {result.returncode}'])[-1]
        raise (NotInstalled if result.returncode == NOT_INSTALLED else WorkerFailed)(last)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def take_standard_output() -> TextIO:
    """Return standard output for the result alone; what libraries print goes to the errors."""
    out = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    return out
