# SPDX-License-Identifier: Apache-2.0
"""Runs one system on one recording in a process of its own, and prints what it found as JSON.

``python -m benchmarks.refine.worker SYSTEM INTRINSICS SOURCE PICTURES OUTPUT [KEY=VALUE...]``
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.process import NOT_INSTALLED, take_standard_output
from benchmarks.refine.system import SYSTEMS, Job, Runner
from flowcam_ros.errors import FlowcamError
from flowcam_ros.export.json_file import plain
from flowcam_ros.memory import peak_memory_mb


def main() -> int:
    """Run; return the exit code."""
    name, intrinsics, source, pictures, output, *settings = sys.argv[1:]
    out = take_standard_output()
    job = Job(source, Path(pictures), Path(output), intrinsics, tuple(settings))
    try:
        module = importlib.import_module(f'benchmarks.refine.{SYSTEMS[name].module}')
        run: Runner = module.run
        answer = run(name, job)
    except ImportError as error:
        print(f'not installed: {error}', file=sys.stderr)
        return NOT_INSTALLED
    except FlowcamError as error:
        print(f'{error}', file=sys.stderr)
        return 1
    with out:
        json.dump(plain(dataclasses.asdict(answer) | _used()), out, allow_nan=False)
    return 0


def _used() -> dict[str, Any]:
    """Return what the process used, from its start."""
    times = os.times()
    return {
        'cpu_s': times.user + times.system + times.children_user + times.children_system,
        'peak_mb': peak_memory_mb(),
        'gpu_peak_mb': _gpu_peak_mb(),
    }


def _gpu_peak_mb() -> float | None:
    torch = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_reserved()) * 1e-6


if __name__ == '__main__':
    sys.exit(main())
