# SPDX-License-Identifier: Apache-2.0
"""What the estimator says of itself on the synthetic suite: every motion and flaw, exact truth."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from flowcam_ros.evaluation.alignment import fit_similarity
from flowcam_ros.evaluation.tracking import Run
from flowcam_ros.export.atomic import write_text
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.sequences.synthetic import parse_synthetic
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


def main() -> None:
    """Run the suite, or the cases named, print the table and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('cases', nargs='*', help='words in the names of cases; all if none')
    parser.add_argument('--size', default='640x480', help='of the pictures')
    parser.add_argument('--depth', choices=tuple(_SOURCES), help='one kind only')
    parser.add_argument('--output', type=Path, help='file to write the table to')
    parser.add_argument('--runs', type=Path, help='folder to save every run in, as npz')
    arguments = parser.parse_args()
    lines = list(_heading(arguments.size))
    print('\n'.join(lines))
    runs: dict[str, list[Run]] = {name: [] for name in _SOURCES}
    for case in CASES:
        if arguments.cases and not any(word in case.name for word in arguments.cases):
            continue
        frames, truth = rendered(case, arguments.size)
        for depth in [arguments.depth] if arguments.depth else _SOURCES:
            run = tracked(frames, truth, depth)
            runs[depth].append(run)
            lines.append(row(case, depth, run))
            print(lines[-1], flush=True)
            if arguments.runs:
                save(arguments.runs / f'{case.name} {depth}.npz', run)
    lines += ['', *(summary(depth, of) for depth, of in runs.items() if of)]
    print('\n'.join(lines[-3:]))
    if arguments.output:
        write_text(arguments.output, '\n'.join(lines) + '\n')


def _heading(size: str) -> Iterator[str]:
    machine = describe_machine()
    yield f'# Consistency on the synthetic suite, {machine["date"]}'
    yield ''
    yield f'{size}, commit {machine["commit"]}, Python {machine["python"]}.'
    yield ''
    yield HEADER


def rendered(case: Case, size: str) -> tuple[list[Frame], np.ndarray]:
    """Return the frames of a case and their true poses."""
    width, height = size.split('x')
    own = {part.partition('=')[0] for part in case.text.partition('?')[2].split('&')}
    sensor = '&'.join(p for p in _SENSOR.split('&') if p.partition('=')[0] not in own)
    sequence = parse_synthetic(f'synthetic:{case.text}&width={width}&height={height}&{sensor}')
    return list(sequence), sequence.ground_truth().world_from_camera


def tracked(frames: list[Frame], truth: np.ndarray, depth: str) -> Run:
    """Run the estimator with its default options; without depth, in metres of the truth."""
    config = build(OdometryConfig, {'depth.source': _SOURCES[depth]})
    odometry = VisualOdometry(config)
    run = Run.of([odometry.process(frame) for frame in frames], truth)
    if depth != 'mono':
        return run
    assert frames[0].depth is not None
    first = frames[0].depth.depth
    # the first map has mean inverse depth 1
    return run.scaled(run.best_scale(float(1.0 / np.mean(1.0 / first[first > 0]))))


def row(case: Case, depth: str, run: Run) -> str:
    """Return the row of one run."""
    states = Counter(TrackingState(state).name for state in run.states)
    recovery = ''
    if case.returns is not None:
        found = run.frames_to_recover(case.returns)
        recovery = 'never' if found is None else str(found)
    ate = absolute_error(run)
    share = f'{100 * ate / run.path:.2f} %' if run.path > 0.1 else ''
    return (
        f'| {case.name} | {depth} | {len(run.found)} '
        f'| {", ".join(f"{name} {count}" for name, count in states.items())} '
        f'| {100 * false_share(run):.1f} % | {recovery} | {1e3 * run.largest_jump():.1f} mm '
        f'| {run.largest_correction():.1f} sigma | {1e3 * ate:.1f} mm | {share} '
        f'| {_mean(run.pose_squares())} | {_mean(run.twist_squares())} |'
    )


def false_share(run: Run) -> float:
    """Return the share of all frames that say TRACKING while the motion is wrong."""
    return float(run.false_tracking().mean())


def absolute_error(run: Run) -> float:
    """Return the RMSE of believed positions, aligned by rotation and translation if they moved."""
    use = run.believed
    found, truth = run.found[use, :3, 3], run.truth[use, :3, 3]
    if not use.any():
        return float('nan')
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
    return (
        f'- {depth}: {len(false)} frames, false TRACKING {100 * false.mean():.2f} %, pose ANEES '
        f'{_mean(pose)} (median of cases {np.median(pose_of_cases):.2f}), twist ANEES '
        f'{_mean(twist)}.'
    )


def save(path: Path, run: Run) -> None:
    """Write all of a run, for a closer look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **vars(run))


if __name__ == '__main__':
    main()
