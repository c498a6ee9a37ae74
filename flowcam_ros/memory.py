# SPDX-License-Identifier: Apache-2.0
"""How much memory this process has needed."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path('/proc/self/status')


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in units of 10^6 bytes.

    On Linux not from ``getrusage``, which counts what the parent had when it started this process.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding='utf-8').splitlines():
            name, _, value = line.partition(':')
            if name == 'VmHWM':
                return int(value.split()[0]) * 1024e-6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1.0 if sys.platform == 'darwin' else 1024.0) * 1e-6
