# SPDX-License-Identifier: Apache-2.0
"""The newest frame wins, drops are counted, and the thread ends when told."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.ros.rate_limit import RateLimit
from flowcam_ros.ros.throttle import Throttle
from flowcam_ros.ros.worker import Mailbox, Worker


@given(st.lists(st.integers(), min_size=1, max_size=50), st.integers(1, 5))
def test_a_full_mailbox_drops_the_oldest_and_counts(items: list[int], capacity: int) -> None:
    mailbox: Mailbox[int] = Mailbox(capacity)
    dropped = sum(mailbox.put(item) for item in items)
    kept = items[-capacity:]
    assert dropped == len(items) - len(kept)
    assert [mailbox.take() for _ in kept] == kept


def test_a_slow_worker_gets_the_newest_and_putting_never_waits() -> None:
    seen: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(item: int) -> None:
        seen.append(item)
        begun.set()
        go_on.wait(5.0)

    mailbox: Mailbox[int] = Mailbox()
    worker = Worker(work, mailbox)
    worker.start()
    mailbox.put(0)
    assert begun.wait(5.0)
    before = time.monotonic()
    dropped = sum(mailbox.put(item) for item in range(1, 1001))
    assert time.monotonic() - before < 1.0
    assert worker.busy_seconds() > 0.0
    go_on.set()
    deadline = time.monotonic() + 5.0
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker.stop(5.0)
    assert seen == [0, 1000]
    assert dropped == 999


def test_stop_tells_when_the_work_hangs() -> None:
    hang, begun = threading.Event(), threading.Event()

    def work(_: int) -> None:
        begun.set()
        hang.wait(10.0)

    mailbox: Mailbox[int] = Mailbox()
    worker = Worker(work, mailbox)
    worker.start()
    mailbox.put(1)
    assert begun.wait(5.0)
    assert not worker.stop(0.1)
    assert worker.is_alive()
    hang.set()
    assert worker.stop(5.0)
    assert not worker.is_alive()
    assert mailbox.put(2) == 0 and mailbox.take() is None


@given(st.floats(1.0, 100.0), st.floats(1.0, 100.0), st.integers(0, 1000))
def test_rate_limit_lets_through_as_many_as_it_says(
    camera_hz: float, limit_hz: float, seed: int
) -> None:
    import numpy as np

    rng = np.random.default_rng(seed)
    period = 1e9 / camera_hz
    stamps = [round(10**9 + k * period + rng.uniform(-0.05, 0.05) * period) for k in range(400)]
    limit = RateLimit()
    passed = sum(limit.passes(stamp, limit_hz) for stamp in stamps)
    expected = min(400.0, 400.0 * limit_hz / camera_hz)
    assert passed <= 1.06 * expected + 2
    assert passed >= 0.45 * expected  # a camera just above the limit loses every second frame


def test_rate_limit_begins_again_when_time_goes_back() -> None:
    limit = RateLimit()
    assert limit.passes(10**12, 10.0)
    assert not limit.passes(10**12 + 10**7, 10.0)
    assert limit.passes(10**9, 10.0)


def test_repeated_lines_are_said_once_with_their_number() -> None:
    throttle = Throttle(interval_s=0.2)
    said = [throttle.passes('size', 'image too small') for _ in range(50)]
    assert said == ['image too small'] + [None] * 49
    assert throttle.passes('step', 'other') == 'other'
    time.sleep(0.25)
    again = throttle.passes('size', 'image too small')
    assert again == 'image too small (and 49 more since the last such line)'
