# SPDX-License-Identifier: Apache-2.0
"""What is noted of a refinement while it works, and what people are shown of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from flowcam_ros.cli.refine_progress import StageBar, StageLines, refine_progress
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.step_report import StepReport
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.runs.refine_log import RefineLog


def step(stage: str, number: int, focal: float = math.nan, **parts: float) -> StepReport:
    return StepReport(stage, number, 100, sum(parts.values()), parts, focal)


class Told:
    """Remembers everything; cancels when told to."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_stage(self, name: str) -> None:
        self.told.append(f'stage {name}')

    def on_note(self, text: str) -> None:
        self.told.append(f'note {text}')

    def on_frame(self, number: int, expected: int | None) -> None:
        self.told.append(f'frame {number} of {expected}')

    def on_step(self, report: StepReport) -> None:
        self.told.append(f'step {report.step}')

    def on_polish(self, part: str, step: int, scale: float, focal: float) -> None:
        self.told.append(f'polish {part} {step}')

    def on_reconstruction(self, preview: Preview) -> None:
        self.told.append(f'preview {len(preview.positions)}')


def test_everything_is_passed_on() -> None:
    told = Told()
    log = RefineLog(told)
    assert isinstance(log, Listener) and isinstance(told, Listener)
    log.on_stage('reading')
    log.on_note('something')
    log.on_frame(2, 9)
    log.on_step(step('flow', 1, match=1.0))
    log.on_polish('lens', 3, 1.0, 300.0)
    path = Trajectory(np.array([7]), np.eye(4)[None])
    log.on_reconstruction(Preview(path, np.zeros((4, 3)), np.zeros((4, 3), np.uint8)))
    assert told.told == [
        'stage reading',
        'note something',
        'frame 2 of 9',
        'step 1',
        'polish lens 3',
        'preview 4',
    ]


def test_a_listener_that_raises_cancels() -> None:
    class Cancels(Told):
        def on_note(self, text: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RefineLog(Cancels()).on_note('x')


def test_each_stage_is_timed_once() -> None:
    log = RefineLog(Told())
    log.on_stage('reading')
    log.on_stage('matching')
    log.close_stage()
    log.close_stage()
    assert [s.name for s in log.stages] == ['reading', 'matching']
    assert all(s.seconds >= 0 and s.peak_mb > 10 for s in log.stages)


def test_losses_become_curves_by_stage_with_one_count_of_steps() -> None:
    log = RefineLog(Told())
    for k in range(1, 4):
        log.on_step(step('depth', k, depth=1.0 / k))
    for k in range(1, 6):
        log.on_step(step('flow', k, 200.0 + k, match=0.5, track=0.25))
    first, second = log.loss_curves()
    assert first.stage != second.stage
    assert first.step.tolist() == [1, 2, 3] and second.step.tolist() == [4, 5, 6, 7, 8]
    assert first.total == pytest.approx([1.0, 0.5, 1 / 3])
    assert np.isnan(first.flow).all() and np.isnan(first.track).all()
    assert (second.flow == 0.5).all() and (second.track == 0.25).all()
    assert (second.total == 0.75).all()
    curve = log.focal_curve(2.0)
    assert curve is not None
    assert curve.step.tolist() == [4, 5, 6, 7, 8]
    assert curve.pixels.tolist() == [402.0, 404.0, 406.0, 408.0, 410.0]


def test_nothing_told_is_no_curve() -> None:
    log = RefineLog(Told())
    assert log.loss_curves() == () and log.focal_curve(1.0) is None and log.late_gain() is None


@pytest.mark.parametrize(
    ('loss', 'gain'),
    [(lambda k: 1.0, 0.0), (lambda k: 1.0 - k / 100, 0.5), (lambda k: 1.0 + k, 0.0)],
)
def test_how_much_the_last_steps_still_gained(loss, gain: float) -> None:
    log = RefineLog(Told())
    for k in range(100):
        log.on_step(step('flow', k + 1, match=loss(k)))
    found = log.late_gain()
    assert found == pytest.approx(gain, abs=0.2)
    assert (found == 0.0) == (gain == 0.0)


def test_windows_are_descents_of_their_own() -> None:
    log = RefineLog(Told())
    for window in range(4):
        for k in range(100):
            log.on_step(step('flow', k + 1, match=1.0 + (4 - window) * 0.9**k))
    assert log.late_gain() == pytest.approx(0.0, abs=0.01)


def test_a_short_run_says_nothing_about_its_end() -> None:
    log = RefineLog(Told())
    for k in range(20):
        log.on_step(step('flow', k + 1, match=1.0 / (k + 1)))
    assert log.late_gain() is None


def test_logs_get_a_line_a_stage_and_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    with refine_progress() as listener:
        assert isinstance(listener, StageLines)
        log = RefineLog(listener)
        log.on_stage('reading')
        log.on_note('2 GB are expected')
        log.on_step(step('flow', 1, match=1.0))
        log.on_polish('lens', 1, 1.0, 300.0)
        log.on_stage('matching')
        log.on_note('much')
    told = capsys.readouterr()
    assert told.err == 'flowcam: reading\nflowcam: 2 GB are expected\nflowcam: matching\n'
    assert told.out == ''


def test_people_see_stage_loss_and_focal_length() -> None:
    console = Console(record=True, width=120, force_terminal=True)
    with Progress(TextColumn('{task.description}'), console=console) as bar:
        shown = StageBar(bar)
        shown.on_stage('optimising')
        shown.on_note('focal length')
        assert bar.tasks[0].description == 'optimising: focal length'
        shown.on_step(step('flow', 1, 312.34, match=0.5))
        assert bar.tasks[0].total == 100
        assert bar.tasks[0].description == 'optimising: flow loss 0.5000, focal 312.3 px'
        shown.on_step(step('depth', 2, depth=0.25))
        assert bar.tasks[0].completed == 2
        assert 'focal' not in bar.tasks[0].description
        shown.on_polish('lens', 4, 1.234, 300.0)
        assert 'lens, step 4, error 1.23 sigma, focal 300.0 px' in bar.tasks[0].description


def test_steps_that_are_told_again_say_nothing_about_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After --resume 50 steps of earlier come at once; those that follow take a second each."""
    now = 100.0
    monkeypatch.setattr('time.monotonic', lambda: now)
    with Progress(TextColumn(''), console=Console(quiet=True), get_time=lambda: now) as bar:
        shown = StageBar(bar)
        for k in range(100):
            now += 1e-4 if k < 50 else 1.0
            shown.on_step(step('flow', k + 1, 312.0, match=0.5))
            if k == 60:
                break
        assert bar.tasks[0].completed == 61
        assert bar.tasks[0].time_remaining == pytest.approx(39, abs=3)
