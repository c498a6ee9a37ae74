# SPDX-License-Identifier: Apache-2.0
"""What each part of the refinement's model is worth: FlowMap's ablations on given recordings.

``python -m benchmarks.refine_ablation SEQUENCE...``, run in the repository, prints a table; see
README.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arguments import names, run_main
from benchmarks.comparison import truth_of
from benchmarks.machine import describe_machine, machine_line
from flowcam_ros.correspondence.cache import ResultCache
from flowcam_ros.errors import EvaluationError, FlowcamError
from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.refine import Refiner
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.prepare import working_size
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.sequences import open_sequence
from flowcam_ros.settings import build, parse_assignments

VARIANTS: dict[str, tuple[str, ...]] = {
    'default': (),
    'no_flow': ('optimizer.flow_weight=0',),
    'no_tracks': ('tracks.backend=none',),
    'no_weights': ('model.weights=false',),
    'explicit_depth': ('model.depth=explicit', 'optimizer.start_rate=0.05', 'optimizer.rate=0.02'),
    'regressed_poses': ('model.poses=regressed',),
    'flat_start': ('model.start=flat',),
    'online_start': ('model.start=online',),
    'known_intrinsics': ('intrinsics.mode=known',),
    'unknown_intrinsics': ('intrinsics.mode=unknown',),
}
_HEADER = (
    '| sequence | variant | frames | ATE after descent | after adjustment | focal error after '
    'descent | after adjustment | CPU s of descent | of adjustment |\n'
    '|---|---|---|---|---|---|---|---|---|'
)
_LEGEND = (
    'ATE: RMSE of the position of the frames that take part, after Sim(3) alignment, with the '
    'true positions scaled so that their squares sum to 1. CPU time of all threads.'
)
_CACHE_BYTES = 10**9


class Enough(Exception):
    """Ends a refinement: what comes after the adjustment is the same for all variants."""


@dataclass
class Figures:
    """One variant on one recording; paths in any unit, focal lengths of tracking pictures."""

    descended: Trajectory | None = None
    adjusted: Trajectory | None = None
    descent_focal: float = float('nan')
    adjusted_focal: float = float('nan')
    descent_s: float = 0.0
    adjustment_s: float = 0.0


class AblationMeter:
    """Notes what a refinement tells (a Listener), and ends it after the adjustment."""

    def __init__(self) -> None:
        self.figures = Figures()
        self._stage, self._began = '', 0.0

    def on_stage(self, name: str) -> None:
        """See Listener."""
        spent = time.process_time() - self._began
        if self._stage == 'optimising':
            self.figures.descent_s = spent
        elif self._stage == 'adjusting':
            self.figures.adjustment_s = spent
            raise Enough
        self._stage, self._began = name, time.process_time()

    def on_note(self, text: str) -> None:
        """See Listener."""

    def on_frame(self, number: int, expected: int | None) -> None:
        """See Listener."""

    def on_step(self, report: StepReport) -> None:
        """See Listener."""
        self.figures.descent_focal = report.focal

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        """See Listener."""
        self.figures.adjusted_focal = focal

    def on_reconstruction(self, preview: Preview) -> None:
        """See Listener."""
        if self._stage == 'adjusting':
            self.figures.adjusted = preview.trajectory
        else:
            self.figures.descended = preview.trajectory


def main() -> int:
    """Measure all variants on all recordings and print the table; return the exit code."""
    options = parse()
    for source in options.sequences:
        truth_of(source, open_sequence(source))
    rows = []
    for source in options.sequences:
        with TemporaryDirectory() as folder:
            cache = ResultCache(Path(folder), _CACHE_BYTES)
            for name in options.variants:
                rows.append(row(source, name, options.set, cache))
                print(rows[-1], file=sys.stderr, flush=True)
    print(as_text(rows, describe_machine(), options.set))
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.refine_ablation',
        description=(__doc__ or '').partition('\n')[0],
    )
    parser.add_argument(
        'sequences', nargs='+', help='bags, folders or synthetic:NAME, with ground truth'
    )
    parser.add_argument(
        '--variants',
        type=names(VARIANTS),
        default=list(VARIANTS),
        metavar='NAMES',
        help=f'some of {", ".join(VARIANTS)}, joined by commas; all unless given',
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', help='an option of all variants'
    )
    return parser.parse_args(arguments)


def row(source: str, name: str, settings: Sequence[str], cache: ResultCache) -> str:
    """Refine a recording in one variant and return its row of the table.

    What corresponds is found once for all variants that look for it in the same way.
    """
    config = build(RefineConfig, parse_assignments([*settings, *VARIANTS[name]]))
    sequence = open_sequence(source)
    meter = AblationMeter()
    with TemporaryDirectory() as folder:
        try:
            Refiner(config, meter, cache).refine(
                sequence, Path(folder), sequence.expected_frames()
            )
        except Enough:
            pass
        except FlowcamError as error:
            print(f'{source}, {name}: {error}', file=sys.stderr)
            return f'| {sequence.name} | {name} |' + ' - |' * 7
    truth, camera = truth_of(source, sequence), next(iter(sequence)).camera
    return as_row(sequence.name, name, meter.figures, truth, tracking(camera, config))


def tracking(camera: CameraModel, config: RefineConfig) -> CameraModel:
    """Return the true camera at the size of the tracking pictures."""
    return camera.resized(*working_size(camera.width, camera.height, config.store.max_pixels))


def as_row(
    sequence: str, variant: str, figures: Figures, truth: Trajectory, camera: CameraModel
) -> str:
    """Return a row of the table."""
    focals = (figures.descent_focal, figures.adjusted_focal)
    cells = (
        sequence,
        variant,
        '-' if figures.adjusted is None else str(len(figures.adjusted)),
        *(_error(path, truth) for path in (figures.descended, figures.adjusted)),
        *(f'{100.0 * (focal / camera.fx - 1.0):+.1f} %' for focal in focals),
        f'{figures.descent_s:.0f}',
        f'{figures.adjustment_s:.0f}',
    )
    return f'| {" | ".join(cells)} |'


def _error(path: Trajectory | None, truth: Trajectory) -> str:
    if path is None:
        return '-'
    try:
        return f'{evaluate(path, truth, "sim3").ate_normalised:.5f}'
    except EvaluationError:
        return '-'


def as_text(rows: Sequence[str], machine: Mapping[str, str], settings: Sequence[str]) -> str:
    """Return the table as Markdown."""
    options = f', with {" ".join(settings)}' if settings else ''
    head = f'# Parts of the refinement, {machine["date"]}'
    return '\n'.join([head, '', f'{machine_line(machine)}{options}.', _LEGEND, '', _HEADER, *rows])


if __name__ == '__main__':
    run_main('refine_ablation', main)
