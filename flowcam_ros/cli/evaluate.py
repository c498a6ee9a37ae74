# SPDX-License-Identifier: Apache-2.0
"""``flowcam evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowcam_ros.cli.inputs import Alignment, finite

if TYPE_CHECKING:
    from flowcam_ros.evaluation.evaluate import Evaluation
    from flowcam_ros.geometry.trajectory import Trajectory
    from flowcam_ros.sequences.sequence import Sequence


def evaluate(
    trajectory: Annotated[
        str, typer.Argument(metavar='TRAJECTORY', help='TUM file, or a folder with a result.')
    ],
    ground_truth: Annotated[
        str,
        typer.Argument(
            metavar='GROUNDTRUTH', help='TUM file, or a sequence that knows its true path.'
        ),
    ],
    align: Annotated[
        Alignment,
        typer.Option(help='sim3 also fits the scale: for a run whose scale_source is none.'),
    ] = Alignment.SE3,
    plot: Annotated[
        Path | None, typer.Option(metavar='FILE.png', help='Draw paths and errors.')
    ] = None,
    max_difference: Annotated[
        float,
        typer.Option(help='Largest time between paired poses, seconds.', min=0.0, callback=finite),
    ] = 0.02,
    delta: Annotated[
        int, typer.Option(help='Poses over which relative errors are taken.', min=1)
    ] = 1,
) -> None:
    """Print the errors of a trajectory as JSON: ATE, RPE, scale, coverage; lengths in metres.

    For a folder that holds a refined recording also those of focal length and depth.
    """
    from flowcam_ros.evaluation.evaluate import evaluate as evaluate_trajectory
    from flowcam_ros.export.atomic import check_new_file
    from flowcam_ros.export.json_file import dumps

    if plot is not None:
        check_new_file(plot)
    limit_ns = round(max_difference * 1e9)
    estimate = _read(trajectory, 'trajectory.tum')
    truth, sequence = _read_truth(ground_truth)
    result = evaluate_trajectory(
        estimate, truth, align.value, max_difference_ns=limit_ns, delta=delta
    )
    if plot is not None:
        from flowcam_ros.visualization.evaluation import plot_evaluation

        plot_evaluation(plot, estimate, truth, result, limit_ns)
        print(f'flowcam: wrote {plot}', file=sys.stderr)
    beside = _beside(Path(trajectory), sequence, align is Alignment.SIM3)
    print(dumps({**as_json(result), **beside}), end='')


def as_json(result: Evaluation) -> dict[str, object]:
    """Return what ``flowcam evaluate`` prints; metres and degrees."""
    return {
        'align': result.align,
        'scale': result.scale,
        'matched': result.matched,
        'poses': result.poses,
        'ground_truth_poses': result.ground_truth_poses,
        'coverage': result.coverage,
        'path_length': result.path_length,
        'ate_rmse': result.ate.rmse,
        'ate_mean': result.ate.mean,
        'ate_median': result.ate.median,
        'ate_max': result.ate.max,
        'ate_percent': result.ate_percent,
        'ate_normalised': result.ate_normalised,
        'ate_trace_normalised': result.ate_trace_normalised,
        'rpe': {
            'delta': result.rpe_delta,
            'translation': result.rpe_translation,
            'rotation_deg': result.rpe_rotation_deg,
        },
    }


def _read(place: str, name: str) -> Trajectory:
    from flowcam_ros.sequences.tum_file import read_trajectory

    path = Path(place)
    return read_trajectory(path / name if path.is_dir() else path)


def _read_truth(place: str) -> tuple[Trajectory, Sequence | None]:
    """Read a TUM file, or ask the sequence of that name, which is given too, for its true path."""
    from flowcam_ros.errors import UsageError

    if Path(place).is_file() and Path(place).suffix in ('.tum', '.txt'):
        return _read(place, ''), None
    from flowcam_ros.sequences import open_sequence

    sequence = open_sequence(place)
    truth = sequence.ground_truth()
    if truth is None:
        raise UsageError(f'{place} does not know its true path; name a TUM file')
    return truth, sequence


def _beside(folder: Path, sequence: Sequence | None, fit_scale: bool) -> dict[str, object]:
    """Return the errors of focal length and depth; None for what one of the sides has not."""
    if sequence is None or not folder.is_dir():
        return {'focal': None, 'depth': None}
    from flowcam_ros.evaluation.refined_folder import read_refined_folder
    from flowcam_ros.evaluation.refinement import evaluate_depth, evaluate_focal

    refined = read_refined_folder(folder)
    return {
        'focal': evaluate_focal(refined, sequence),
        'depth': evaluate_depth(refined, sequence, fit_scale=fit_scale),
    }
