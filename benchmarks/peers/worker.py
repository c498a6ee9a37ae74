# SPDX-License-Identifier: Apache-2.0
"""Runs one system over one sequence in a process of its own, and prints what it found as JSON.

``python -m benchmarks.peers.worker SYSTEM MODE SEQUENCE [KEY=VALUE...]``
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.peers.registry import SYSTEMS
from benchmarks.peers.system import Answer, System
from benchmarks.process import NOT_INSTALLED, take_standard_output
from flowcam_ros.errors import FlowcamError, FrameRejected
from flowcam_ros.export.json_file import plain
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.memory import peak_memory_mb
from flowcam_ros.sequences import open_sequence


def main() -> int:
    """Run; return the exit code."""
    name, mode, source, *settings = sys.argv[1:]
    out = take_standard_output()
    system = start(name, mode, settings)
    if isinstance(system, int):
        return system
    try:
        result = run(system, open_sequence(source), mode)
    except FlowcamError as error:
        print(f'{error}', file=sys.stderr)
        return error.exit_code
    json.dump(plain(result), out, allow_nan=False)
    out.close()
    return 0


def start(name: str, mode: str, settings: list[str]) -> System | int:
    """Return the system; or, where it cannot be had, say why and return the exit code."""
    try:
        return SYSTEMS[name].make(mode, settings)
    except ImportError as error:
        print(f'not installed: {error}', file=sys.stderr)
        return NOT_INSTALLED
    except OSError as error:
        print(f'cannot be started: {error}', file=sys.stderr)
        return 1
    except FlowcamError as error:
        print(f'{error}', file=sys.stderr)
        return error.exit_code


def run(system: System, frames: Iterable[Frame], mode: str) -> dict[str, Any]:
    """Hand every frame to the system; only its own work is timed, not reading and decoding."""
    stamps: list[int] = []
    answers: list[Answer] = []
    wall_ms: list[float] = []
    cpu_ms: list[float] = []
    for frame in frames:
        if mode == 'mono':
            frame = dataclasses.replace(frame, depth=None, right=None)
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            answer = system.process(frame)
        except FrameRejected:
            held = answers[-1] if answers else Answer(np.eye(4), believed=False)
            answer = Answer(
                held.world_from_camera, believed=False, state='rejected', epoch=held.epoch
            )
        wall_ms.append((time.perf_counter() - wall) * 1e3)
        cpu_ms.append((time.process_time() - cpu) * 1e3)
        stamps.append(frame.stamp_ns)
        answers.append(answer)
    return {
        'stamps_ns': stamps,
        'epochs': [answer.epoch for answer in answers],
        'poses': [answer.world_from_camera for answer in answers],
        'believed': [answer.believed for answer in answers],
        'states': [answer.state for answer in answers],
        'covariances': [answer.covariance for answer in answers],
        'twists': [answer.twist for answer in answers],
        'twist_covariances': [answer.twist_covariance for answer in answers],
        'wall_ms': wall_ms,
        'cpu_ms': cpu_ms,
        'peak_mb': peak_memory_mb(),
        'versions': system.versions(),
    }


if __name__ == '__main__':
    sys.exit(main())
