# SPDX-License-Identifier: Apache-2.0
"""Images are paired with the nearest partner, at once where that is certain."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy', reason='needs ROS 2')

from flowcam_ros.ros.conversions import stamp_msg
from flowcam_ros.ros.pairing import Pairing

PERIOD = 33_333_333
MILLISECOND = 1_000_000


def message(stamp: int) -> SimpleNamespace:
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp_msg(stamp)), stamp=stamp)


class Harness:
    """Feeds stamps and keeps the pairs that come out."""

    def __init__(self, interval: float = 0.02, queue: int = 5) -> None:
        self.pairing = Pairing(interval, queue)
        self.pairs: list[tuple[int, int]] = []
        self.pairing.registerCallback(lambda a, b: self.pairs.append((a.stamp, b.stamp)))

    def image(self, stamp: int) -> None:
        self.pairing.add_image(message(stamp))

    def partner(self, stamp: int) -> None:
        self.pairing.add_partner(message(stamp))


@pytest.mark.parametrize('interval', [0.0, 0.02])
@pytest.mark.parametrize('image_first', [True, False])
def test_equal_stamps_pair_at_once(interval: float, image_first: bool) -> None:
    harness = Harness(interval)
    for k in range(10):
        stamp = 10**9 + k * PERIOD
        calls = [harness.image, harness.partner]
        for call in calls if image_first else reversed(calls):
            call(stamp)
        assert harness.pairs[-1] == (stamp, stamp)
    assert len(harness.pairs) == 10


def test_unequal_stamps_do_not_pair_exactly() -> None:
    harness = Harness(0.0)
    for k in range(10):
        harness.image(10**9 + k * PERIOD)
        harness.partner(10**9 + k * PERIOD + 1)
    assert harness.pairs == []


@pytest.mark.parametrize('offset_ms', [-12, -5, 5, 12])
def test_a_steady_offset_pairs_without_waiting_for_the_next_period(offset_ms: int) -> None:
    harness = Harness()
    for k in range(20):
        stamp = 10**9 + k * PERIOD
        events = sorted(
            [(stamp, harness.image), (stamp + offset_ms * MILLISECOND, harness.partner)],
            key=lambda e: e[0],
        )
        for when, call in events:
            call(when)
        if k >= 2:  # the partner's period is known by then
            assert harness.pairs[-1] == (stamp, stamp + offset_ms * MILLISECOND)


def test_a_lost_message_does_not_shift_later_pairs() -> None:
    """The fault of taking the first partner within the slop, at 60 Hz with a slop of 20 ms."""
    harness = Harness(0.02)
    period = PERIOD // 2
    for k in range(30):
        if k != 10:
            harness.image(10**9 + k * period)
        harness.partner(10**9 + k * period)
    late = [pair for pair in harness.pairs if pair[0] > 10**9 + 12 * period]
    assert all(a == b for a, b in late)
    assert len(late) == 17


def test_nothing_beyond_the_interval_is_paired() -> None:
    harness = Harness(0.005)
    for k in range(20):
        harness.image(10**9 + k * PERIOD)
        harness.partner(10**9 + k * PERIOD + 9 * MILLISECOND)
    assert harness.pairs == []


def test_time_going_back_does_not_starve_it() -> None:
    harness = Harness()
    for start in (10**12, 10**9):  # a bag that begins again
        for k in range(10):
            harness.image(start + k * PERIOD)
            harness.partner(start + k * PERIOD)
    assert len(harness.pairs) == 20


def test_memory_is_bounded_when_one_stream_stops() -> None:
    harness = Harness(queue=5)
    for k in range(100):
        harness.image(10**9 + k * PERIOD)
    assert harness.pairing.unpaired == 95
    harness.partner(10**9 + 99 * PERIOD)
    assert harness.pairs == [(10**9 + 99 * PERIOD,) * 2]


@given(st.integers(0, 2**32 - 1))
def test_any_order_and_loss_gives_ordered_unique_pairs_within_the_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    harness = Harness(0.02)
    events = []
    for k in range(40):
        stamp = 10**9 + k * PERIOD
        jitter = int(rng.integers(-8, 9)) * MILLISECOND
        if rng.random() > 0.2:
            events.append((stamp + int(rng.integers(0, 20)) * MILLISECOND, 'image', stamp))
        if rng.random() > 0.2:
            arrival = stamp + int(rng.integers(0, 20)) * MILLISECOND
            events.append((arrival, 'partner', stamp + jitter))
    for _, kind, stamp in sorted(events):
        getattr(harness, kind)(stamp)
    images = [a for a, _ in harness.pairs]
    partners = [b for _, b in harness.pairs]
    assert images == sorted(set(images))
    assert len(partners) == len(set(partners))
    assert all(abs(a - b) <= 20 * MILLISECOND for a, b in harness.pairs)
