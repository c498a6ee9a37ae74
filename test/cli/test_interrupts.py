# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C waits for the end of a step while an optimisation runs, and only then."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from flowcam_ros.cli import interrupts
from flowcam_ros.cli.interrupts import interrupts_after_steps
from flowcam_ros.cli.refine_progress import StageLines
from flowcam_ros.flowmap.progress import Listener
from flowcam_ros.flowmap.step_report import StepReport

STEP = StepReport('flow', 1, 2, 0.5, {}, 300.0)


class Heard(StageLines):
    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, report: StepReport) -> None:
        self.steps += 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def listener(heard: Heard) -> Iterator[Listener]:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_after_steps(heard) as patient:
        assert isinstance(patient, Listener)
        yield patient
    assert signal.getsignal(signal.SIGINT) is before


def test_it_waits_for_the_end_of_the_step(
    listener: Listener, heard: Heard, capfd: pytest.CaptureFixture[str]
) -> None:
    listener.on_stage('optimising')
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # in haste
    with pytest.raises(KeyboardInterrupt):
        listener.on_step(STEP)
    assert heard.steps == 1, 'the step is told first'
    assert capfd.readouterr().err.count('stopping after this step') == 1
    listener.on_step(STEP)


@pytest.mark.parametrize('stage', ['reading', 'matching', 'adjusting', 'writing'])
def test_elsewhere_it_acts_at_once(listener: Listener, stage: str) -> None:
    listener.on_stage('optimising')
    listener.on_stage(stage)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_between_steps_it_acts_at_the_next_event(listener: Listener) -> None:
    listener.on_stage('optimising')
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        listener.on_note('lens')


def test_who_asks_again_does_not_wait(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    listener.on_stage('optimising')
    signal.raise_signal(signal.SIGINT)
    monkeypatch.setattr(interrupts, '_TWICE_S', 0.0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_so(heard: Heard) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interrupts_after_steps(heard):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
