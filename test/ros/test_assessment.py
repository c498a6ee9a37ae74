# SPDX-License-Identifier: Apache-2.0
"""What is wrong is said in words that name the topic, the frame or the parameter."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros import assessment, health
from flowcam_ros.ros.assessment import Assessment, Level, NodeState, assess
from flowcam_ros.ros.health import Health
from flowcam_ros.ros.partner import DEPTH, NONE, RIGHT, PartnerChoice

ROLES = ('image', 'camera_info', 'depth/image', 'right/image')


class Clock:
    """A monotonic clock that tests set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(health, 'time', made)
    monkeypatch.setattr(assessment, 'time', made)
    return made


@pytest.fixture
def known(clock: Clock) -> Health:
    return Health({**{role: f'/robot/{role}' for role in ROLES}, 'pairs': 'pairs'})


def estimate(state: TrackingState, reason: str = '') -> PoseEstimate:
    eye = np.eye(6)
    return PoseEstimate(1, state, reason, np.eye(4), eye, np.zeros(6), eye)


def judge(known: Health, busy_s: float = 0.0, **options: object) -> Assessment:
    return assess(known, dataclasses.replace(OdometryNodeConfig(), **options), busy_s)  # type: ignore[arg-type]


def stream(known: Health, clock: Clock, seconds: float, hz: float = 10.0, *roles: str) -> None:
    for _ in range(round(seconds * hz)):
        for role in roles or ('image',):
            known.arrived(role)
        clock.now += 1.0 / hz


def test_no_image_is_fine_at_first_and_a_warning_later(known: Health, clock: Clock) -> None:
    first = judge(known)
    assert (first.state, first.level) == (NodeState.WAITING_INPUT, Level.OK)
    clock.now += 6.0
    later = judge(known)
    assert later.level is Level.WARN and '/robot/image' in later.message
    assert later.reason == 'image'


def test_missing_camera_info_is_an_error_after_five_seconds(known: Health, clock: Clock) -> None:
    known.arrived('image')
    known.camera_known(False)
    assert judge(known).level is Level.OK
    stream(known, clock, 5.5)
    verdict = judge(known)
    assert (verdict.state, verdict.level) == (NodeState.WAITING_INPUT, Level.ERROR)
    assert 'no camera_info on /robot/camera_info for' in verdict.message
    known.camera_known(True)
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    assert judge(known).level is Level.OK


@pytest.mark.parametrize('comes', [False, True])
def test_missing_partner_is_hinted_at_after_five_seconds(
    known: Health, clock: Clock, comes: bool
) -> None:
    known.partner = DEPTH
    stream(known, clock, 4.0)
    assert judge(known).level is Level.OK
    roles = ('image', DEPTH) if comes else ('image',)
    stream(known, clock, 2.0, 10.0, *roles)
    verdict = judge(known)
    assert verdict.level is Level.WARN and '/robot/depth/image' in verdict.message
    hint = 'approx_sync_max_interval' if comes else 'nothing on /robot/depth/image'
    assert hint in verdict.message


def test_missing_transform_is_an_error_at_once(known: Health, clock: Clock) -> None:
    stream(known, clock, 1.0)
    known.waits_for_transform("no transform from 'cam' to 'base_lnk'")
    verdict = judge(known)
    assert (verdict.state, verdict.level, verdict.reason) == (
        NodeState.WAITING_TF,
        Level.ERROR,
        'tf',
    )
    assert 'base_lnk' in verdict.message
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    assert judge(known).state is NodeState.TRACKING


@pytest.mark.parametrize(
    ('tracking', 'state', 'level'),
    [
        (TrackingState.INITIALISING, NodeState.INITIALISING, Level.OK),
        (TrackingState.TRACKING, NodeState.TRACKING, Level.OK),
        (TrackingState.DEGRADED, NodeState.DEGRADED, Level.WARN),
        (TrackingState.LOST, NodeState.LOST, Level.ERROR),
    ],
)
def test_states_of_the_estimator(
    known: Health, clock: Clock, tracking: TrackingState, state: NodeState, level: Level
) -> None:
    known.arrived('image')
    reason = '' if tracking is TrackingState.TRACKING else 'texture'
    known.answered(estimate(tracking, reason), 1.0, 1.0)
    verdict = judge(known)
    assert (verdict.state, verdict.level, verdict.reason) == (state, level, reason)
    assert bool(verdict.message) == bool(reason)


def test_a_stream_that_ends_is_waiting_again(known: Health, clock: Clock) -> None:
    known.arrived('image')
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    clock.now += 6.0
    assert judge(known).state is NodeState.WAITING_INPUT


def test_watchdog_bites_when_nothing_is_answered(known: Health, clock: Clock) -> None:
    known.arrived('image')
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    known.offered(0)
    stream(known, clock, 4.0)
    assert judge(known).level is Level.OK
    stream(known, clock, 2.0)
    verdict = judge(known)
    assert verdict.findings[0].reason == 'watchdog' and verdict.level is Level.ERROR
    assert len(verdict.findings) == 1
    assert judge(known, watchdog_s=60.0).level is Level.OK
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    assert judge(known).level is Level.OK
    assert judge(known, busy_s=7.0).findings[0].reason == 'watchdog'


def test_an_old_answer_does_not_speak_for_images_that_are_all_rejected(
    known: Health, clock: Clock
) -> None:
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    for _ in range(7):
        known.offered(0)
        known.rejected_because('encoding', 'encoding 64FC4 is not supported')
        stream(known, clock, 1.0)
    verdict = judge(known)
    assert (verdict.state, verdict.reason) == (NodeState.LOST, 'watchdog')
    assert '64FC4' in verdict.message


def test_images_that_were_never_answered_are_no_start(known: Health, clock: Clock) -> None:
    for _ in range(7):
        known.offered(0)
        known.rejected_because('encoding', 'encoding 64FC4 is not supported')
        stream(known, clock, 1.0)
    verdict = judge(known)
    assert (verdict.state, verdict.reason) == (NodeState.WAITING_INPUT, 'watchdog')


def test_rejections_warn_by_cause_and_fade(known: Health, clock: Clock) -> None:
    known.arrived('image')
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    for reason in ('size', 'size', 'encoding'):
        known.rejected_because(reason, f'bad {reason}')
    verdict = judge(known)
    assert verdict.level is Level.WARN
    assert '2 size, 1 encoding; last: bad encoding' in verdict.findings[0].message
    assert known.values()['rejected: size'] == '2'
    stream(known, clock, 11.0)
    assert judge(known).level is Level.OK
    assert known.values()['frames rejected'] == '3'


def test_overload_and_a_slow_camera_warn(known: Health, clock: Clock) -> None:
    stream(known, clock, 3.0, 30.0)
    known.answered(estimate(TrackingState.TRACKING), 1.0, 1.0)
    known.offered(5)
    assert judge(known).level is Level.OK  # a few do not matter
    known.offered(50)
    assert [f.reason for f in judge(known).findings] == ['overload']
    assert [f.reason for f in judge(known, expected_rate=60.0).findings] == ['overload', 'rate']
    assert known.values()['image rate (Hz)'] == '30.0'


def test_misfits_are_reported_while_the_topic_is_silent(known: Health, clock: Clock) -> None:
    known.qos_misfits({'/robot/image': 'a publisher offers best_effort'})
    assert 'best_effort' in judge(known).findings[0].message
    known.arrived('image')
    assert all(f.reason != 'qos' for f in judge(known).findings)


def test_paused_is_no_fault(known: Health, clock: Clock) -> None:
    clock.now += 60.0
    known.pause(True)
    assert (judge(known).state, judge(known).level) == (NodeState.PAUSED, Level.OK)


@pytest.mark.parametrize(
    ('source', 'role'), [('sensor', DEPTH), ('stereo', RIGHT), ('none', NONE)]
)
def test_a_fixed_source_is_not_looked_for(source: str, role: str) -> None:
    choice = PartnerChoice(source, lambda _: 0)
    assert choice.chosen == choice.choose() == role


def test_auto_takes_what_is_published_and_waits_a_second_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flowcam_ros.ros import partner

    clock = Clock()
    monkeypatch.setattr(partner, 'time', clock)
    published: dict[str, int] = {}
    choice = PartnerChoice('auto', lambda role: published.get(role, 0))
    assert choice.candidates() == (DEPTH, RIGHT)
    assert choice.choose() is None
    clock.now += 0.5
    published[RIGHT] = 1
    assert choice.choose() == RIGHT
    published[DEPTH] = 1
    assert choice.choose() == RIGHT  # one source per epoch
    choice.again()
    assert choice.choose() == DEPTH
    published.clear()
    choice.again()
    assert choice.choose() is None
    clock.now += 1.1
    assert choice.choose() == NONE
