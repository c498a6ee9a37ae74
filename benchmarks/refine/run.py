# SPDX-License-Identifier: Apache-2.0
"""Every system on every recording, several times, one process at a time and in turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.comparison import Row, run_in_turns, truth_of
from benchmarks.process import clean_environment, run_for_json
from benchmarks.refine.pictures import StoredPictures, store_pictures
from benchmarks.refine.score import score
from benchmarks.refine.system import SYSTEMS, Job
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences import open_sequence
from flowcam_ros.threads import CALM


@dataclass(frozen=True)
class Recording:
    """A sequence with its truth, and its frames as files."""

    source: str
    name: str
    truth: Trajectory
    pictures: StoredPictures


def open_recording(source: str, folder: Path) -> Recording:
    """Open a recording and write its frames into a folder.

    Raises:
        UsageError: it has no ground truth.
        FlowcamError: it cannot be read, or the frames cannot be written.
    """
    sequence = open_sequence(source)
    truth = truth_of(source, sequence)
    return Recording(source, sequence.name, truth, store_pictures(folder, sequence))


def run_all(
    recordings: Sequence[Recording],
    intrinsics: Sequence[str],
    systems: Sequence[str],
    runs: int,
    settings: Sequence[str],
    timeout_s: float,
) -> list[Row]:
    """Run everything ``runs`` times in turns, so that a busy moment of the machine hits all."""
    jobs = [
        (recording, Row(recording.name, mode, name))
        for recording in recordings
        for mode in intrinsics
        for name in systems
    ]

    def run_once(recording: Recording, row: Row) -> None:
        _run_once(recording, row, settings, timeout_s)

    return run_in_turns(jobs, runs, run_once)


def _run_once(recording: Recording, row: Row, settings: Sequence[str], timeout_s: float) -> None:
    pictures = recording.pictures
    with TemporaryDirectory(prefix='refine_') as folder:
        output = Path(folder) / 'result'
        job = Job(recording.source, pictures.folder, output, row.mode, tuple(settings))
        answer = run_worker(row.system, job, timeout_s)
    row.runs.append(score(answer, recording.truth, pictures.camera, len(pictures.stamps_ns)))
    row.versions = answer['versions']


def run_worker(name: str, job: Job, timeout_s: float) -> dict[str, Any]:
    """Run one system in a process of its own; the answer's ``seconds`` are those of all of it.

    Raises:
        NotInstalled: a package it needs is missing.
        WorkerFailed: it ended with an error or took too long.
    """
    places = [job.source, str(job.pictures), str(job.output)]
    worker = [sys.executable, '-m', 'benchmarks.refine.worker']
    begin = time.monotonic()
    answer = run_for_json(
        [*worker, name, job.intrinsics, *places, *job.settings],
        clean_environment() | (CALM if SYSTEMS[name].calm else {}),
        timeout_s,
    )
    return answer | {'seconds': time.monotonic() - begin}
