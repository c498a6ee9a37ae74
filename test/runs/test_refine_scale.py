# SPDX-License-Identifier: Apache-2.0
"""A recording is refined to metres wherever something in it tells what those are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_refinements import OPTIONS, SEQUENCE, write_small_bag

from flowcam_ros.cli.refine_progress import StageLines
from flowcam_ros.evaluation.evaluate import evaluate
from flowcam_ros.runs.refine import RefineOutcome, refine_recording, summary
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.sequences import SequenceOptions, open_sequence
from flowcam_ros.settings import build

STRETCH = 1.015


def refined(source: str, output: Path, **options: object) -> RefineOutcome:
    config = build(RefineRunConfig, {**OPTIONS, 'threads': 1, **options})
    return refine_recording(source, output, SequenceOptions(), config, StageLines())


def scale_error(outcome: RefineOutcome, source: str) -> float:
    """Return the logarithm of how much too long lengths are."""
    truth = open_sequence(source).ground_truth()
    assert truth is not None
    found = evaluate(outcome.refinement.reconstruction.trajectory, truth, 'sim3')
    return float(-np.log(found.scale))


def test_odometry_that_drifts_tells_metres_and_how_sure_they_are(tmp_path: Path) -> None:
    write_small_bag(tmp_path / 'bag', turn=0.1, stretch=STRETCH)
    output = tmp_path / 'refined'
    outcome = refined(str(tmp_path / 'bag'), output)
    report = json.loads((output / 'run.json').read_text())
    assert report['scale_source'] == 'odometry' == report['scale']['source']
    sigma = report['scale']['sigma']
    assert 0.01 < sigma < 0.12
    assert abs(scale_error(outcome, SEQUENCE)) < 2.5 * sigma
    assert 'in metres (scale from odometry' in summary(output, outcome)
    assert 'scale comes from odometry' in (output / 'report.html').read_text()
    assert outcome.odometry is not None


def test_odometry_without_metres_can_be_left_out(tmp_path: Path) -> None:
    write_small_bag(tmp_path / 'bag', turn=0.0, stretch=5.0)
    output = tmp_path / 'refined'
    outcome = refined(str(tmp_path / 'bag'), output, **{'scale.odometry': False})
    report = json.loads((output / 'run.json').read_text())
    assert report['scale_source'] == 'none' and report['scale'] is None
    assert 'up to scale' in summary(output, outcome)
    assert 'up to scale' in (output / 'report.html').read_text()


@pytest.mark.parametrize('kind', ['stereo=true&baseline=0.1', 'depth=true'])
def test_stereo_and_depth_tell_metres(tmp_path: Path, kind: str) -> None:
    source = SEQUENCE.replace('depth=false', kind)
    if 'stereo' in kind:
        source += '&depth=false'
    outcome = refined(source, tmp_path / 'refined')
    name = 'stereo' if 'stereo' in kind else 'depth'
    assert outcome.refinement.reconstruction.scale_source == name
    assert abs(scale_error(outcome, source)) < 0.03
