# SPDX-License-Identifier: Apache-2.0
"""Each alternative of the model refines the synthetic world from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from depth_models import save_depth_anything

from flowcam_ros.cli.refine_progress import StageLines
from flowcam_ros.errors import ConfigError
from flowcam_ros.evaluation.metrics import trace_normalised_error
from flowcam_ros.export.tum import write_trajectory
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.runs.refine import RefineOutcome, refine_recording
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.settings import build

WORLD = 'synthetic:orbit?frames=14&fps=4&width=240&height=180&depth=false'
SHORT: dict[str, object] = {
    'intrinsics.mode': 'known',
    'frames.max_frames': 7,
    'store.pixels': 6_000,
    'tracks.points': 400,
    'optimizer.start_steps': 12,
    'optimizer.steps': 12,
    'dense.pixels': 6_000,
    'threads': 1,
    'export.pictures': False,
    'export.colmap': False,
    'export.nerfstudio': False,
    'export.depth': False,
    'export.cloud': False,
    'export.bag': False,
}
VARIANTS: dict[str, dict[str, object]] = {
    'explicit depth': {
        'model.depth': 'explicit', 'optimizer.start_rate': 0.05, 'optimizer.rate': 0.02,
    },
    'regressed poses': {'model.poses': 'regressed'},
    'no tracks': {'tracks.backend': 'none'},
    'no flow': {'optimizer.flow_weight': 0.0},
    'no weights': {'model.weights': False},
    'online': {'model.start': 'online'},
    'flat': {'model.start': 'flat', 'optimizer.start_steps': 20},
    'halves': {'model.precision': 'bfloat16'},
}  # fmt: skip


class Noting(StageLines):
    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def on_step(self, report: StepReport) -> None:
        self.reports.append(report)


def refined(folder: Path, **options: object) -> tuple[RefineOutcome, list[StepReport]]:
    listener = Noting()
    config = build(RefineRunConfig, {**SHORT, **options})
    return refine_recording(WORLD, folder, SequenceOptions(), config, listener), listener.reports


def error(outcome: RefineOutcome) -> float:
    """Return FlowMap's trace-normalised error of all frames."""
    truth = open_sequence(WORLD).ground_truth()
    assert truth is not None
    found = outcome.refinement.reconstruction.trajectory
    assert found.stamps_ns.tolist() == truth.stamps_ns.tolist()
    return trace_normalised_error(found.positions, truth.positions)


@pytest.mark.slow
@pytest.mark.parametrize('name', VARIANTS)
def test_every_alternative_finds_the_path(name: str, tmp_path: Path) -> None:
    outcome, reports = refined(tmp_path / 'refined', **VARIANTS[name])
    assert error(outcome) < 0.004
    last = reports[-1]
    assert last.stage == 'flow'
    expected = {'match', 'track', 'flow'}
    expected -= {'no tracks': {'track'}, 'no flow': {'flow'}}.get(name, set())
    assert set(last.parts) == expected
    stages = list(dict.fromkeys(report.stage for report in reports))
    first = ['one side', 'the other side'] if name == 'flat' else ['depth']
    assert stages == [*first, 'flow']


@pytest.mark.slow
def test_a_network_is_written_and_begun_with(tmp_path: Path) -> None:
    first, reports = refined(tmp_path / 'first', **{'export.network': True})
    path = tmp_path / 'first' / 'network.safetensors'
    assert path.is_file() and first.written.files['network'] == path.name
    _, again = refined(tmp_path / 'again', **{'model.start_weights': str(path)})
    assert again[0].loss < 0.7 * reports[0].loss


@pytest.mark.slow
def test_the_relief_of_another_network_comes_first(tmp_path: Path) -> None:
    folder = save_depth_anything(tmp_path / 'model')
    outcome, reports = refined(tmp_path / 'refined', **{'model.depth_prior': folder})
    assert error(outcome) < 0.004
    stages = list(dict.fromkeys(report.stage for report in reports))
    assert stages == ['prior', 'depth', 'flow']
    prior = [report.loss for report in reports if report.stage == 'prior']
    assert prior[-1] < prior[0]


@pytest.mark.slow
def test_a_path_of_flowcam_odometry_is_started_from(tmp_path: Path) -> None:
    truth = open_sequence(WORLD).ground_truth()
    assert truth is not None
    folder = tmp_path / 'odometry'
    folder.mkdir()
    write_trajectory(folder / 'trajectory.tum', truth)
    outcome, reports = refined(tmp_path / 'refined', odometry=str(folder))
    assert error(outcome) < 0.004
    assert reports[0].stage == 'depth'
    config = (tmp_path / 'refined' / 'run.json').read_text(encoding='utf-8')
    assert yaml.safe_load(config)['options']['odometry'] == str(folder)


def test_a_folder_without_a_path_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'odometry: .* holds no trajectory\.tum'):
        refined(tmp_path / 'refined', odometry=str(tmp_path))
    assert not (tmp_path / 'refined').exists()
    assert np.all([not p.name.startswith('refined') for p in tmp_path.iterdir()])
