# SPDX-License-Identifier: Apache-2.0
"""Refine a recording: from its path to a folder of results."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowcam_ros import __version__
from flowcam_ros.correspondence.cache import Cache, CacheChain
from flowcam_ros.export.atomic import new_folder
from flowcam_ros.export.bag import RecordedOdometry
from flowcam_ros.export.json_file import plain, write_json
from flowcam_ros.export.network import NETWORK, write_network
from flowcam_ros.export.reconstruction import WrittenFiles, write_reconstruction
from flowcam_ros.export.rerun_recording import find_rerun
from flowcam_ros.flowmap.evidence import Level, Verdict
from flowcam_ros.flowmap.online_path import OnlinePath
from flowcam_ros.flowmap.progress import Listener, ToldFrames
from flowcam_ros.flowmap.ray_engine import find_ray
from flowcam_ros.flowmap.refine import Refinement, Refiner
from flowcam_ros.runs.online_start import read_online_path
from flowcam_ros.runs.recorded_odometry import known_path, recorded_odometry
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.refine_log import RefineLog
from flowcam_ros.runs.refine_report import as_json, refine_report
from flowcam_ros.runs.run_identity import run_identity
from flowcam_ros.runs.unfinished import Keeping, Work, unfinished_work
from flowcam_ros.runs.user_cache import open_cache
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.sequences.sequence import Sequence
from flowcam_ros.settings import flatten
from flowcam_ros.visualization.report import write_report

REPORT = 'report.html'
_WORK = 'work'


@dataclass(frozen=True)
class RefineOutcome:
    """What a refinement came to.

    Attributes:
        refinement: the result; its depth maps are gone from the disk but for the exported ones.
        verdict: what to think of it.
        written: files in the folder.
        losses: what of the input could not be read, as sentences.
        odometry: of the recording itself, in the unit of the result; None if it holds none.
    """

    refinement: Refinement
    verdict: Verdict
    written: WrittenFiles
    losses: list[str]
    odometry: RecordedOdometry | None


def refine_recording(
    source: str,
    output: Path,
    options: SequenceOptions,
    config: RefineRunConfig,
    listener: Listener,
    keeping: Keeping | None = None,
) -> RefineOutcome:
    """Refine a recording into a new folder, which appears when all of it is written.

    Args:
        source: what ``open_sequence`` takes.
        output: a new folder.
        options: how to read the input.
        config: all options.
        listener: told what goes on; what it raises cancels, and leaves nothing behind ...
        keeping: ... unless unfinished work is to be kept beside the output; see unfinished.py.

    Raises:
        FlowcamError: the input cannot be used, or the output not be written.
    """
    if config.export.rerun:
        find_rerun()  # a long work shall not end in its absence
    if config.windows.engine == 'ray':
        find_ray()
    if config.intrinsics.mode == 'unknown':
        options = dataclasses.replace(options, assume_camera=True)
    online = read_online_path(config.odometry)
    sequence = open_sequence(source, options)
    cache = open_cache(config.cache)
    with (
        _kept_work(source, output, options, config, keeping) as kept,
        new_folder(output) as folder,
    ):
        log = RefineLog(listener, resumed=keeping is not None and keeping.resume)
        refinement = _refined(sequence, kept or Work(folder / _WORK), config, log, cache, online)
        log.on_stage('writing')
        odometry = recorded_odometry(sequence, refinement.reconstruction)
        written = write_reconstruction(
            folder,
            refinement.reconstruction,
            ToldFrames(sequence, listener, sequence.expected_frames()),
            config.export,
            odometry,
            progress=listener.on_note,
        )
        _write_network(folder, config, refinement, written)
        log.close_stage()
        verdict = _write_report(folder, source, sequence, config, refinement, log, written)
        if kept is None:
            shutil.rmtree(folder / _WORK)
    return RefineOutcome(refinement, verdict, written, list(sequence.losses), odometry)


@contextlib.contextmanager
def _kept_work(
    source: str,
    output: Path,
    options: SequenceOptions,
    config: RefineRunConfig,
    keeping: Keeping | None,
) -> Iterator[Work | None]:
    """Give the folder of the work if it is to be kept, should the work be interrupted."""
    if keeping is None:
        yield None
        return
    with unfinished_work(output, run_identity(source, output, options, config), keeping) as work:
        yield work


def _refined(
    sequence: Sequence,
    work: Work,
    config: RefineRunConfig,
    log: RefineLog,
    cache: Cache | None,
    online: OnlinePath | None,
) -> Refinement:
    caches = [found for found in (work.cache, cache) if found is not None]
    refiner = Refiner(config, log, CacheChain(*caches) if caches else None)
    return refiner.refine(
        sequence,
        work.folder,
        sequence.expected_frames(),
        work.checkpoints,
        known_path(sequence),
        online,
    )


def summary(output: Path, outcome: RefineOutcome) -> str:
    """Return in a line what was written and what to think of it."""
    result = outcome.refinement.reconstruction
    return (
        f'{output}: {len(result.trajectory)} frames, {int(result.chosen.sum())} optimised, '
        f'focal length {result.camera.fx:.1f} pixels, {_scale_words(outcome.refinement)}, '
        f'verdict: {outcome.verdict.level.value}; see {output / REPORT}'
    )


def _scale_words(refinement: Refinement) -> str:
    source, scale = refinement.reconstruction.scale_source, refinement.scale
    if source == 'none' or scale is None:
        return 'up to scale (lengths are no metres)'
    return f'in metres (scale from {source}, sure to {100 * scale.sigma:.1f} %)'


def warnings(outcome: RefineOutcome) -> list[str]:
    """Return what the user must know of the input, the files and the result, as sentences."""
    return [
        *(f'warning: {sentence}' for sentence in (*outcome.losses, *outcome.written.left_out)),
        *(
            f'{finding.level.value}: {finding.what} {finding.remedy}'.rstrip()
            for finding in outcome.verdict.findings
            if finding.level in (Level.WARNING, Level.BAD)
        ),
    ]


def _write_network(
    folder: Path, config: RefineRunConfig, refinement: Refinement, written: WrittenFiles
) -> None:
    if not config.export.network:
        return
    weights = refinement.flow.network
    if weights is None:
        written.left_out.append(f'{NETWORK} is not written: there is no one network of this run')
        return
    write_network(folder / NETWORK, weights)
    written.files['network'] = NETWORK


def _write_report(
    folder: Path,
    source: str,
    sequence: Sequence,
    config: RefineRunConfig,
    refinement: Refinement,
    log: RefineLog,
    written: WrittenFiles,
) -> Verdict:
    known = config.intrinsics.mode == 'known'
    facts = (
        ('flowcam_ros', __version__),
        ('Python', sys.version.split()[0]),
        ('intrinsics', config.intrinsics.mode),
        *((('resumed', 'times are those of the last part'),) if log.resumed else ()),
    )
    report = refine_report(
        refinement, log, sequence.name, source, known, sequence.ground_truth(), facts
    )
    write_report(folder / REPORT, report)
    write_json(
        folder / 'run.json',
        {
            'input': {'path': source, 'name': sequence.name},
            **as_json(refinement, report),
            'resumed': log.resumed,
            'files': {**written.files, 'report': REPORT},
            'left_out': written.left_out,
            'losses': list(sequence.losses),
            'versions': plain({'flowcam_ros': __version__, 'python': sys.version.split()[0]}),
            'options': flatten(config),
        },
    )
    return report.verdict
