# SPDX-License-Identifier: Apache-2.0
"""Stamps: next, late, doubled, after a pause, or back in time."""

import pytest

from flowcam_ros.errors import FrameRejected
from flowcam_ros.odometry.stamps import StampWatch, Step

SECOND = 10**9


def watch(period: float, frames: int = 5, max_gap: float = 0.5) -> tuple[StampWatch, int]:
    """Return a watch that has seen some regular frames, and the last stamp."""
    result = StampWatch(max_gap)
    stamp = 0
    for i in range(frames):
        stamp = 5 * SECOND + round(i * period * SECOND)
        result.take(stamp, result.step_to(stamp))
    return result, stamp


def test_the_first_stamp_may_be_anything() -> None:
    assert StampWatch(0.5).step_to(-7) is Step.FIRST


@pytest.mark.parametrize(
    ('period', 'pause', 'step'),
    [
        (0.033, 0.033, Step.NEXT),
        (0.033, 0.4, Step.NEXT),
        (0.033, 0.6, Step.GAP),
        (0.67, 0.67, Step.NEXT),  # a slow camera has no gaps
        (0.67, 1.9, Step.NEXT),
        (0.67, 3.0, Step.GAP),
    ],
)
def test_a_pause_is_a_gap_only_when_it_is_unusual(period: float, pause: float, step: Step) -> None:
    stamps, last = watch(period)
    assert stamps.step_to(last + round(pause * SECOND)) is step


def test_a_slow_camera_has_no_gap_at_its_second_frame() -> None:
    stamps, last = watch(0.033, frames=1)
    assert stamps.step_to(last + 2 * SECOND) is Step.NEXT


def test_a_gap_does_not_change_the_period() -> None:
    stamps, last = watch(0.033)
    after = last + 5 * SECOND
    stamps.take(after, stamps.step_to(after))
    assert stamps.step_to(after + SECOND) is Step.GAP


def test_a_camera_that_is_slowed_down_has_gaps_only_at_first() -> None:
    stamps, last = watch(0.033)
    steps = []
    for k in range(1, 6):
        stamp = last + k * SECOND
        steps.append(stamps.step_to(stamp))
        stamps.take(stamp, steps[-1])
    assert steps == [Step.GAP, Step.GAP, Step.NEXT, Step.NEXT, Step.NEXT]


@pytest.mark.parametrize(('back', 'reason'), [(0.0, 'duplicate'), (0.05, 'out_of_order')])
def test_doubled_and_late_stamps_are_rejected(back: float, reason: str) -> None:
    stamps, last = watch(0.033)
    with pytest.raises(FrameRejected) as caught:
        stamps.step_to(last - round(back * SECOND))
    assert caught.value.reason == reason
    assert stamps.step_to(last + SECOND // 30) is Step.NEXT


def test_far_back_is_a_jump_of_time() -> None:
    stamps, last = watch(0.033)
    assert stamps.step_to(last - 3 * SECOND) is Step.JUMP_BACK
