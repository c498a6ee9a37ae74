# SPDX-License-Identifier: Apache-2.0
"""Figures and tables of the benchmarks of the refinement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks import refine_ablation, refine_growth, refine_step
from benchmarks.comparison import Row, as_data
from benchmarks.refine.report import as_text
from benchmarks.refine.score import score
from benchmarks.refine.step_worker import StepMeter, step_config
from flowcam_ros.errors import ConfigError, UsageError
from flowcam_ros.export.json_file import dumps
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.settings import build, parse_assignments

MACHINE = {
    'date': 'today',
    'processor': 'CPU',
    'cores': '2',
    'memory': '8 kB',
    'python': '3',
    'commit': 'abc',
}
FIGURES = {
    'frames': 40,
    'registered': 0.975,
    'ate': 0.01234,
    'ate_normalised': 0.004321,
    'ate_flowmap': 0.002494,
    'focal_percent': -1.5,
    'seconds': 120.04,
    'cpu_s': 200.0,
    'peak_mb': 900.4,
    'gpu_peak_mb': None,
}
CAMERA = CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5)


def columns(text: str) -> set[int]:
    return {line.count('|') for line in text.splitlines() if line.startswith('|')}


def truth() -> Trajectory:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, 3] = np.random.default_rng(1).normal(size=(5, 3))
    return Trajectory(np.arange(5, dtype=np.int64) * 10**9, poses)


def answer(path: Trajectory, camera: CameraModel | None, registered: int) -> dict[str, Any]:
    return {
        'stamps_ns': path.stamps_ns.tolist(),
        'poses': path.world_from_camera.tolist(),
        'registered': registered,
        'camera': camera and json.loads(dumps(camera)),
        'seconds': 1.0,
        'cpu_s': 2.0,
        'peak_mb': 3.0,
        'gpu_peak_mb': None,
    }


def test_a_path_at_another_scale_is_right_and_interpolated_frames_are_not_registered() -> None:
    path = truth()
    scaled = path.world_from_camera.copy()
    scaled[:, :3, 3] *= 3
    found = Trajectory(path.stamps_ns, scaled)
    longer = CameraModel(64, 48, 55.0, 55.0, 31.5, 23.5)
    figures = score(answer(found, longer, 4), path, CAMERA, 5)
    assert figures['registered'] == 0.8
    assert figures['ate'] == pytest.approx(0.0, abs=1e-12)
    assert figures['ate_flowmap'] == pytest.approx(0.0, abs=1e-12)
    assert figures['focal_percent'] == pytest.approx(10.0)
    assert figures.keys() == FIGURES.keys()


def test_both_normalised_errors_are_those_of_the_two_definitions() -> None:
    path = truth()
    bent = path.world_from_camera.copy()
    bent[:, :3, 3] += np.random.default_rng(2).normal(scale=0.01, size=(5, 3))
    figures = score(answer(Trajectory(path.stamps_ns, bent), CAMERA, 5), path, CAMERA, 5)
    spread = np.linalg.norm(path.positions - path.positions.mean(axis=0))
    assert figures['ate_normalised'] == pytest.approx(figures['ate'] / spread)
    assert figures['ate_flowmap'] == pytest.approx(figures['ate_normalised'] / 3**0.5, rel=0.01)


def test_nothing_found_has_no_errors() -> None:
    none = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    figures = score(answer(none, None, 0), truth(), CAMERA, 5)
    assert figures['registered'] == 0.0
    assert figures['ate'] is None and figures['focal_percent'] is None


def test_a_row_stands_under_what_is_known_and_a_failure_says_why() -> None:
    nothing = dict.fromkeys(('ate', 'ate_normalised', 'ate_flowmap', 'focal_percent'))
    rows = [
        Row('fox', 'unknown', 'flowcam', [FIGURES, FIGURES], {'flowcam_ros': '1'}),
        Row('fox', 'unknown', 'incremental', [FIGURES | nothing | {'registered': 0.0}]),
        Row('fox', 'unknown', 'global', failure='took more than 5 s'),
        Row('fox', 'known', 'flowcam', [FIGURES | {'gpu_peak_mb': 4000.0}]),
    ]
    text = as_text(rows, MACHINE, 2, ['seed=1'])
    unknown, known = text.split('## ')[1:]
    assert unknown.startswith('Intrinsics unknown') and known.startswith('Intrinsics known')
    assert (
        '| fox | 40 | flowcam refine | 98 % | 0.0123 | 0.00432 | 0.00249 | -1.50 % | 120.0 '
        '| 200.0 | 900 |' in unknown
    )
    assert '| fox | 40 | pycolmap incremental | 0 % | - | - | - | - | 120.0' in unknown
    assert '| 900 + 4000 GPU |' in known
    assert '- pycolmap global: took more than 5 s [fox (unknown)]' in text
    assert '2 runs in turns, with seed=1' in text and 'commit abc' in text
    assert len(columns(text)) == 1
    data = json.loads(dumps(as_data(rows, MACHINE, 2, [])))
    assert data['rows'][0]['median']['ate'] == FIGURES['ate']
    assert len(data['rows'][0]['runs']) == 2


def grown(frames: int, seconds: float, peak_mb: float, stages: Sequence[str]) -> dict[str, Any]:
    return {
        'frames': frames,
        'optimised': frames - 1,
        'stages': dict.fromkeys(stages, 1.5),
        'seconds': seconds,
        'cpu_s': 2 * seconds,
        'peak_mb': peak_mb,
        'expected_mb': 1.1 * peak_mb,
        'gpu_peak_mb': None,
    }


def test_growth_is_told_by_stage_and_from_each_length_to_the_longest() -> None:
    rows = [
        grown(25, 10.0, 800.0, ['reading', 'matching']),
        grown(50, 20.0, 1000.0, ['reading', 'matching', 'depth']),
        grown(400, 200.0, 1100.0, ['reading', 'matching', 'depth']),
    ]
    text = refine_growth.as_text(rows, MACHINE, 'synthetic:walk', 'known', ['seed=1'])
    assert '| 25 | 24 | 1.5 | 1.5 | - | 10.0 | 0.40 | 20.0 | 800 | 880 | - |' in text
    assert '- from 50 to 400 frames: memory +10 %, seconds x 10.0' in text
    assert len(columns(text)) == 1
    assert refine_growth.growth([]) == []


def test_what_is_expected_is_what_the_refinement_plans() -> None:
    few = refine_growth.expected_mb('synthetic:walk?frames=9', 9, [])
    many = refine_growth.expected_mb('synthetic:walk?frames=9', 300, [])
    assert 300.0 < few < many
    budget = 0.95e-3 * many
    less = refine_growth.expected_mb('synthetic:walk?frames=9', 300, [f'memory_gb={budget}'])
    assert less <= 1e3 * budget


def test_the_length_is_put_into_the_text_of_a_sequence() -> None:
    assert refine_growth.with_length('synthetic:walk', 5) == 'synthetic:walk?frames=5'
    assert (
        refine_growth.with_length('synthetic:walk?seed=2', 5) == 'synthetic:walk?seed=2&frames=5'
    )
    with pytest.raises(UsageError, match='frames is given twice'):
        refine_growth.with_length('synthetic:walk?frames=3', 5)
    with pytest.raises(UsageError, match='synthetic:'):
        refine_growth.with_length('my_bag', 5)
    assert refine_growth.parse(['--lengths', '25,400']).lengths == [25, 400]
    for wrong in ('25,', 'many', '1'):
        with pytest.raises(SystemExit):
            refine_growth.parse(['--lengths', wrong])


def test_steps_are_told_apart_and_the_first_ones_do_not_count() -> None:
    meter = StepMeter()
    assert isinstance(meter, Listener)
    for stage in ('depth', 'flow'):
        for step in range(1, 13):
            meter.on_step(StepReport(stage, step, 12, 0.0, {}, float('nan')))
    found = [(cost.stage, cost.steps) for cost in meter.costs()]
    assert found == [
        ('fit to two views', 9),
        ('flow, focal length softly selected', 2),
        ('flow, focal length free', 4),
    ]
    assert all(cost.cpu_s >= 0 for cost in meter.costs())


def test_only_steps_on_flow_are_held_against_the_released_code() -> None:
    costs = [
        {'stage': stage, 'steps': 9, 'cpu_s': 0.28, 'wall_s': 0.2}
        for stage in ('fit to two views', 'flow, focal length free')
    ]
    text = refine_step.as_text({'network': {'costs': costs, 'peak_mb': 1145.2}}, MACHINE, [])
    assert '| network | fit to two views | 9 | 0.280 | 0.200 | 1145 | - | - | - |' in text
    assert '| 9 | 0.280 | 0.200 | 1145 | 28 | 5400 | 100 times |' in text
    assert len(columns(text)) == 1


def test_the_steps_are_those_that_are_asked_for() -> None:
    config = step_config('explicit', 12, ['optimizer.samples=100'])
    assert config.model.depth == 'explicit'
    assert config.optimizer.steps == config.optimizer.start_steps == 12
    assert config.optimizer.samples == 100
    with pytest.raises(ConfigError, match='nonsense'):
        step_config('network', 12, ['nonsense=1'])
    with pytest.raises(SystemExit):
        refine_step.parse(['--steps', '9'])


def test_every_variant_of_the_ablation_is_a_configuration() -> None:
    for settings in refine_ablation.VARIANTS.values():
        build(RefineConfig, parse_assignments(settings))


def test_the_ablation_has_a_row_for_each_variant() -> None:
    figures = refine_ablation.Figures(truth(), truth(), 55.0, 50.5, 12.3, 4.5)
    rows = [
        refine_ablation.as_row('room', 'default', figures, truth(), CAMERA),
        refine_ablation.as_row('room', 'flat_start', refine_ablation.Figures(), truth(), CAMERA),
    ]
    text = refine_ablation.as_text(rows, MACHINE, ['a.b=1'])
    assert len(columns(text)) == 1
    assert '| room | default | 5 | 0.00000 | 0.00000 | +10.0 % | +1.0 % | 12 | 4 |' in text
    assert '| room | flat_start | - | - | - |' in text
    assert 'a.b=1' in text


def test_the_ablation_ends_after_the_adjustment() -> None:
    meter = refine_ablation.AblationMeter()
    assert isinstance(meter, Listener)
    nothing = Preview(truth(), np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    meter.on_stage('optimising')
    meter.on_reconstruction(nothing)
    meter.on_stage('adjusting')
    assert meter.figures.descended is not None and meter.figures.adjusted is None
    meter.on_reconstruction(nothing)
    with pytest.raises(refine_ablation.Enough):
        meter.on_stage('depth')
    assert meter.figures.adjusted is not None
