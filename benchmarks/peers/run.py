# SPDX-License-Identifier: Apache-2.0
"""Every system over every sequence, several times, one process at a time and in turns."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.comparison import Row, run_in_turns, truth_of
from benchmarks.peers.environment import PYTHON, ROOT
from benchmarks.peers.registry import SYSTEMS
from benchmarks.peers.score import score
from benchmarks.process import NotInstalled, clean_environment, run_for_json
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences import open_sequence
from flowcam_ros.threads import CALM

# Depth is looked for in so many frames; a recording may begin with pictures alone.
_LOOKED_AT = 5


@dataclass(frozen=True)
class Recording:
    """A sequence with its truth, and the modes in which it can be run."""

    source: str
    name: str
    truth: Trajectory
    modes: tuple[str, ...]


def open_recording(source: str, modes: Iterable[str]) -> Recording:
    """Open a sequence, and see whether it has truth and depth.

    Raises:
        UsageError: it has no ground truth.
    """
    sequence = open_sequence(source)
    truth = truth_of(source, sequence)
    frames = itertools.islice(iter(sequence), _LOOKED_AT)
    has_depth = any(frame.depth is not None for frame in frames)
    possible = tuple(mode for mode in modes if mode == 'mono' or has_depth)
    return Recording(source, sequence.name, truth, possible)


def run_all(
    recordings: Sequence[Recording],
    systems: Sequence[str],
    runs: int,
    settings: Sequence[str],
    timeout_s: float,
) -> list[Row]:
    """Run everything ``runs`` times in turns, so that a busy moment of the machine hits all."""
    jobs = [
        (recording, Row(recording.name, mode, name))
        for recording in recordings
        for mode in recording.modes
        for name in systems
        if mode in SYSTEMS[name].modes
    ]

    def run_once(recording: Recording, row: Row) -> None:
        result = run_worker(row.system, row.mode, recording.source, settings, timeout_s)
        row.runs.append(score(result, recording.truth, row.mode))
        row.versions = result['versions']

    return run_in_turns(jobs, runs, run_once)


def run_worker(
    name: str, mode: str, source: str, settings: Sequence[str], timeout_s: float
) -> dict[str, Any]:
    """Run one system over one sequence in a process of its own.

    Raises:
        NotInstalled: a package it needs is missing.
        WorkerFailed: it ended with an error or took too long.
    """
    entry = SYSTEMS[name]
    python = PYTHON if entry.in_own_environment else sys.executable
    own = () if entry.in_own_environment else settings
    command = [str(python), '-m', 'benchmarks.peers.worker', name, mode, source, *own]
    environment = clean_environment() | ({} if entry.in_own_environment else CALM)
    try:
        return run_for_json(command, environment, timeout_s)
    except FileNotFoundError as error:
        raise NotInstalled(f'not installed: there is no {PYTHON.relative_to(ROOT)}') from error
