# SPDX-License-Identifier: Apache-2.0
"""What the estimator says of itself on the synthetic suite: every motion and flaw, exact truth.

``python -m benchmarks.consistency``, run in the repository, prints a table; see README.md.
"""

from __future__ import annotations

import argparse
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.arguments import run_main
from benchmarks.machine import describe_machine
from flowcam_ros.errors import OutputError, UsageError
from flowcam_ros.evaluation.alignment import fit_similarity
from flowcam_ros.evaluation.tracking import Run
from flowcam_ros.export.atomic import check_new_file, write_bytes, write_text
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences.synthetic import SyntheticSequence, parse_synthetic
from flowcam_ros.settings import build

# What every picture has: some noise, and depth as from a good sensor.
_SENSOR = 'noise=2&depth_noise=0.003&depth_holes=0.05'
_SOURCES = {'RGB-D': 'sensor', 'mono': 'none'}


@dataclass(frozen=True)
class Case:
    """One sequence of the suite.

    Attributes:
        name: for the table.
        text: of the synthetic sequence, without size and sensor.
        returns: position of the first frame from which the camera sees enough again, if it was
            blind before.
    """

    name: str
    text: str
    returns: int | None = None


CASES = (
    Case('walk', 'walk?frames=240'),
    Case('walk, another room', 'walk?frames=240&seed=5'),
    Case('translation', 'translation?frames=120'),
    Case('orbit', 'orbit?frames=120&seed=2'),
    Case('rotation', 'rotation?frames=120'),
    Case('stand-still', 'standstill?frames=60'),
    Case('stop and turn', 'stop_and_turn?frames=180'),
    Case('fast turn', 'fast_turn?frames=120'),
    Case('fast turn, blurred', 'fast_turn?frames=90&blur_samples=8&exposure=1&blur_frames=28-70'),
    Case('walk, blurred', 'walk?frames=60&blur_samples=6&exposure=1'),
    # blank from frame 66 on; a fifth of the picture is textured again from frame 122 on
    Case('blank wall', 'textureless?frames=200', 122),
    Case('light off 1 s', 'walk?frames=120&dark=50-79', 80),
    Case('thing over 40 %', 'moving_object?frames=120&object_size=1.8'),
    Case('walk past a thing', 'translation?frames=80&moving_objects=1&object_size=1.5'),
    Case('walk among three', 'walk?frames=100&moving_objects=3&object_size=1.3'),
    Case('gap 0.1 s', 'walk?frames=90&dropped=40-42', 40),
    Case('gap 0.5 s', 'walk?frames=90&dropped=40-54', 40),
    Case('gap 1 s', 'walk?frames=120&dropped=40-69', 40),
    Case('gap 5 s', 'walk?frames=250&dropped=40-189', 40),
    Case('exposure jump up', 'walk?frames=90&exposure_jump=1.8&exposure_jump_frame=40'),
    Case('exposure jump down', 'walk?frames=90&exposure_jump=0.4&exposure_jump_frame=40'),
    Case('exposure drift', 'walk?frames=120&exposure_swing=1'),
    Case('bars', 'walk?frames=90&flicker=0.3'),
    Case('strong bars', 'walk?frames=90&flicker=0.5'),
    Case('bars, stand-still', 'standstill?frames=60&flicker=0.3'),
    Case('rolling shutter', 'walk?frames=60&rolling_samples=6'),
    Case('low light', 'walk?frames=90&exposure_jump=0.25&exposure_jump_frame=0&noise=5'),
    Case('poor depth', 'walk?frames=90&depth_noise=0.015&depth_holes=0.4'),
)

COLUMNS = (
    'case',
    'depth',
    'frames',
    'states',
    'false TRACKING',
    'recovery',
    'jump',
    'correction',
    'ATE',
    'of the path',
    'pose ANEES',
    'twist ANEES',
)
HEADER = f'| {" | ".join(COLUMNS)} |\n{"|---" * len(COLUMNS)}|'


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.consistency',
        description=(__doc__ or '').partition('\n')[0],
        epilog='cases:\n' + '\n'.join(f'  {case.name}' for case in CASES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('cases', nargs='*', help='words in the names of cases; all if none')
    parser.add_argument(
        '--size', default='640x480', metavar='WxH', help='of the pictures (%(default)s)'
    )
    parser.add_argument('--depth', choices=tuple(_SOURCES), help='one kind only')
    parser.add_argument('--output', type=Path, metavar='FILE', help='new file for the table')
    parser.add_argument(
        '--save', type=Path, metavar='DIR', help='folder to save every run in, as npz'
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite, or the cases named, print the table and save it; return the exit code.

    Raises:
        UsageError: a case or size is none, or a result is there already; nothing has run then.
        OutputError: a result cannot be written.
    """
    options = parse(arguments)
    kinds = [options.depth] if options.depth else list(_SOURCES)
    cases = chosen(options.cases)
    for case in cases:
        sequence_of(case, options.size)
    _prepare([options.output] if options.output else [])
    if options.save:
        _prepare([_file(options.save, case, kind) for case in cases for kind in kinds])
    lines = list(_heading(options.size))
    print('\n'.join(lines))
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    for case in cases:
        found = tracked(sequence_of(case, options.size), kinds)
        for kind, run in zip(kinds, found, strict=True):
            runs[kind].append(run)
            lines.append(row(case, kind, run))
            print(lines[-1], flush=True)
            if options.save:
                save(_file(options.save, case, kind), run)
    closing = ['', *(summary(kind, of) for kind, of in runs.items())]
    print('\n'.join(closing))
    if options.output:
        write_text(options.output, '\n'.join(lines + closing) + '\n')
    return 0


def chosen(words: Sequence[str]) -> list[Case]:
    """Return the cases whose names contain one of the words; all if there are no words.

    Raises:
        UsageError: a word is in no name.
    """
    for word in words:
        if not any(word in case.name for case in CASES):
            names = '; '.join(case.name for case in CASES)
            raise UsageError(f'{word!r} is in the name of no case; the cases: {names}')
    return [case for case in CASES if not words or any(word in case.name for word in words)]


def _file(folder: Path, case: Case, kind: str) -> Path:
    return folder / f'{case.name} {kind}.npz'


def _prepare(files: Sequence[Path]) -> None:
    """See that results can be written before the work begins that they are made of."""
    for file in files:
        check_new_file(file)
    for folder in {file.parent for file in files}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'{folder}: cannot be made ({error.strerror})') from error


def _heading(size: str) -> Iterator[str]:
    machine = describe_machine()
    yield f'# Consistency on the synthetic suite, {machine["date"]}'
    yield ''
    yield f'{size}, commit {machine["commit"]}, Python {machine["python"]}.'
    yield ''
    yield HEADER


def sequence_of(case: Case, size: str) -> SyntheticSequence:
    """Return the sequence of a case.

    Raises:
        UsageError: the size is not two numbers in the range of pictures.
    """
    found = re.fullmatch(r'(\d+)x(\d+)', size, re.ASCII)
    if found is None:
        raise UsageError(f'--size {size}: expected WIDTHxHEIGHT in pixels, such as 640x480')
    width, height = found.groups()
    own = {part.partition('=')[0] for part in case.text.partition('?')[2].split('&')}
    sensor = '&'.join(p for p in _SENSOR.split('&') if p.partition('=')[0] not in own)
    return parse_synthetic(f'synthetic:{case.text}&width={width}&height={height}&{sensor}')


def tracked(sequence: SyntheticSequence, kinds: Sequence[str]) -> list[Run]:
    """Run an estimator of each kind, with its default options; lengths in metres of the truth."""
    configs = [build(OdometryConfig, {'depth.source': _SOURCES[kind]}) for kind in kinds]
    estimators = [VisualOdometry(config) for config in configs]
    scale = 1.0
    estimates: list[list[PoseEstimate]] = [[] for _ in kinds]
    for k, frame in enumerate(sequence):
        assert frame.depth is not None
        if k == 0:
            # without depth, the first map has mean inverse depth 1
            scale = float(1.0 / np.mean(1.0 / frame.depth.depth[frame.depth.depth > 0]))
        for estimator, found in zip(estimators, estimates, strict=True):
            found.append(estimator.process(frame))
    truth = sequence.ground_truth().world_from_camera
    runs = [Run.of(found, truth) for found in estimates]
    return [
        run.scaled(run.best_scale(scale)) if kind == 'mono' else run
        for kind, run in zip(kinds, runs, strict=True)
    ]


def row(case: Case, depth: str, run: Run) -> str:
    """Return the row of one run."""
    states = Counter(TrackingState(state).name for state in run.states)
    recovery = ''
    if case.returns is not None:
        found = run.frames_to_recover(case.returns)
        recovery = 'never' if found is None else str(found)
    ate = absolute_error(run)
    error = '' if ate is None else f'{1e3 * ate:.1f} mm'
    share = '' if ate is None or run.path <= 0.1 else f'{100 * ate / run.path:.2f} %'
    return (
        f'| {case.name} | {depth} | {len(run.found)} '
        f'| {", ".join(f"{name} {count}" for name, count in states.items())} '
        f'| {100 * false_share(run):.1f} % | {recovery} | {1e3 * run.largest_jump():.1f} mm '
        f'| {run.largest_correction():.1f} sigma | {error} | {share} '
        f'| {_mean(run.pose_squares())} | {_mean(run.twist_squares())} |'
    )


def false_share(run: Run) -> float:
    """Return the share of all frames that say TRACKING while the motion is wrong."""
    return float(run.false_tracking().mean())


def absolute_error(run: Run) -> float | None:
    """Return the RMSE of believed positions, aligned by rotation and translation if they moved.

    None if no frame is believed.
    """
    use = run.believed
    found, truth = run.found[use, :3, 3], run.truth[use, :3, 3]
    if not use.any():
        return None
    if run.path > 0.1 and use.sum() > 3 and np.ptp(found, axis=0).max() > 0:
        alignment = fit_similarity(found, truth, with_scale=False)
        found = found @ alignment.rotation.T + alignment.translation
    return float(np.sqrt(np.square(found - truth).sum(1).mean()))


def _mean(squares: np.ndarray) -> str:
    return f'{squares.mean():.2f}' if len(squares) else ''


def summary(depth: str, runs: list[Run]) -> str:
    """Return what all runs of one kind amount to: every frame counts alike."""
    false = np.concatenate([run.false_tracking() for run in runs])
    pose = np.concatenate([run.pose_squares() for run in runs])
    twist = np.concatenate([run.twist_squares() for run in runs])
    pose_of_cases = [run.pose_squares().mean() for run in runs if len(run.pose_squares())]
    of_cases = f' (median of cases {np.median(pose_of_cases):.2f})' if pose_of_cases else ''
    return (
        f'- {depth}: {len(false)} frames, false TRACKING {100 * false.mean():.2f} %, pose ANEES '
        f'{_mean(pose) or "unknown"}{of_cases}, twist ANEES {_mean(twist) or "unknown"}.'
    )


def save(path: Path, run: Run) -> None:
    """Write all of a run to a new file, for a closer look.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **vars(run))
    write_bytes(path, content.getvalue())


if __name__ == '__main__':
    run_main('consistency', main)
