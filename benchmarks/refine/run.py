# SPDX-License-Identifier: Apache-2.0
"""Every system on every recording, several times, one process at a time and in turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.process import NotInstalled, WorkerFailed, clean_environment, run_for_json
from benchmarks.refine.pictures import StoredPictures, store_pictures
from benchmarks.refine.score import score
from benchmarks.refine.system import SYSTEMS, Job
from flowcam_ros.errors import UsageError
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


@dataclass
class Row:
    """One system on one recording: the figures of each run, or why there are none."""

    sequence: str
    intrinsics: str
    system: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    failure: str = ''


def check_truth(source: str) -> None:
    """Raise UsageError unless the recording has ground truth."""
    if open_sequence(source).ground_truth() is None:
        raise UsageError(f'{source} has no ground truth (groundtruth.tum) to measure against')


def open_recording(source: str, folder: Path) -> Recording:
    """Open a recording and write its frames into a folder.

    Raises:
        UsageError: it has no ground truth.
        FlowcamError: it cannot be read, or the frames cannot be written.
    """
    check_truth(source)
    sequence = open_sequence(source)
    truth = sequence.ground_truth()
    assert truth is not None
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
    missing: dict[str, str] = {}
    for number in range(runs):
        for recording, row in jobs:
            row.failure = row.failure or missing.get(row.system, '')
            if row.failure:
                continue
            try:
                _run_once(recording, row, settings, timeout_s)
            except NotInstalled as error:
                row.failure = missing[row.system] = str(error)
            except WorkerFailed as error:
                row.failure = str(error)
            words = row.failure or f'{row.runs[-1]["seconds"]:.1f} s'
            print(
                f'run {number + 1} of {runs}, {row.sequence}, {row.intrinsics}, {row.system}: '
                f'{words}',
                file=sys.stderr,
                flush=True,
            )
    return [row for _, row in jobs]


def _run_once(recording: Recording, row: Row, settings: Sequence[str], timeout_s: float) -> None:
    pictures = recording.pictures
    with TemporaryDirectory(prefix='refine_') as folder:
        output = Path(folder) / 'result'
        job = Job(recording.source, pictures.folder, output, row.intrinsics, tuple(settings))
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
