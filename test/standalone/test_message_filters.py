# SPDX-License-Identifier: Apache-2.0
"""Sets of messages: of the same time, and of nearly the same."""

from __future__ import annotations

from dataclasses import dataclass

import message_filters
import pytest
from builtin_interfaces.msg import Time as TimeMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.time import Time
from std_msgs.msg import Header, String

MS = 1_000_000


@dataclass(frozen=True)
class Stamped:
    """A message with a header, of one of the inputs."""

    header: Header
    source: int = 0

    @property
    def ms(self) -> int:
        return Time.from_msg(self.header.stamp).nanoseconds // MS


def stamped(ms: int, source: int = 0) -> Stamped:
    seconds, rest = divmod(ms * MS, 10**9)
    return Stamped(Header(stamp=TimeMessage(sec=seconds, nanosec=rest)), source)


class Input(message_filters.SimpleFilter):
    """Hands on what the test gives it."""

    def give(self, *milliseconds: int) -> None:
        for ms in milliseconds:
            self.signalMessage(stamped(ms))


def exact(count: int = 2, queue_size: int = 5):
    inputs = [Input() for _ in range(count)]
    sets: list[tuple[int, ...]] = []
    synchronizer = message_filters.TimeSynchronizer(inputs, queue_size)
    synchronizer.registerCallback(lambda *messages: sets.append(tuple(m.ms for m in messages)))
    return inputs, sets


def approximate(slop: float, count: int = 2, queue_size: int = 5):
    inputs = [Input() for _ in range(count)]
    sets: list[tuple[int, ...]] = []
    synchronizer = message_filters.ApproximateTimeSynchronizer(inputs, queue_size, slop)
    synchronizer.registerCallback(lambda *messages: sets.append(tuple(m.ms for m in messages)))
    return inputs, sets


def test_a_callback_gets_its_own_arguments_too() -> None:
    source, heard = Input(), []
    source.registerCallback(lambda message, *extra: heard.append((message.ms, *extra)), 'a', 1)
    source.give(5)
    assert heard == [(5, 'a', 1)]


def test_equal_stamps_make_a_set_in_any_order_of_arrival() -> None:
    (one, two), sets = exact()
    one.give(10, 20, 30)
    two.give(30, 10)
    assert sets == [(30, 30), (10, 10)]


def test_each_input_keeps_only_its_newest_messages() -> None:
    (one, two), sets = exact(queue_size=2)
    one.give(10, 20, 30)
    two.give(10, 20)
    assert sets == [(20, 20)]


def test_three_inputs_wait_for_the_last() -> None:
    (one, two, three), sets = exact(count=3)
    one.give(10)
    two.give(10)
    assert sets == []
    three.give(10)
    assert sets == [(10, 10, 10)]


def test_near_stamps_make_a_set_and_far_ones_do_not() -> None:
    (one, two), sets = approximate(slop=0.02)
    one.give(100)
    two.give(130, 119)
    assert sets == [(100, 119)]


def test_the_nearest_stamp_is_taken() -> None:
    (one, two), sets = approximate(slop=0.05)
    two.give(80, 95, 120)
    one.give(100)
    assert sets == [(100, 95)]


def test_all_of_a_set_lie_within_the_slop_of_each_other() -> None:
    (one, two, three), sets = approximate(slop=0.02, count=3)
    one.give(85)
    two.give(115)
    three.give(100)
    assert sets == []
    two.give(101)
    assert sets == [(85, 101, 100)]


def test_a_message_without_a_stamp_is_ignored_unless_allowed() -> None:
    inputs = [Input(), Input()]
    heard = []
    synchronizer = message_filters.ApproximateTimeSynchronizer(inputs, 5, 10.0)
    synchronizer.registerCallback(lambda *messages: heard.append(messages))
    for source in inputs:
        source.signalMessage(String(data='x'))
    assert heard == []
    synchronizer.allow_headerless = True
    for source in inputs:
        source.signalMessage(String(data='x'))
    assert len(heard) == 1


@settings(max_examples=200, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), max_size=60),
    slop_ms=st.integers(1, 60),
    queue_size=st.integers(1, 8),
)
def test_sets_are_near_in_order_of_inputs_and_never_share_a_message(
    arrivals, slop_ms, queue_size
) -> None:
    inputs = [Input() for _ in range(3)]
    sets: list[tuple[Stamped, ...]] = []
    synchronizer = message_filters.ApproximateTimeSynchronizer(inputs, queue_size, slop_ms / 1e3)
    synchronizer.registerCallback(lambda *messages: sets.append(messages))
    for source, ms in arrivals:
        inputs[source].signalMessage(stamped(ms, source))
        assert all(len(queue) <= queue_size for queue in synchronizer.queues)
    for messages in sets:
        assert [message.source for message in messages] == [0, 1, 2]
        stamps = [message.ms for message in messages]
        assert max(stamps) - min(stamps) < slop_ms
    used = [id(message) for messages in sets for message in messages]
    assert len(used) == len(set(used))


@settings(max_examples=100, deadline=None)
@given(
    jitter=st.lists(st.integers(-4, 4), min_size=5, max_size=40),
    lead=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_two_jittery_cameras_are_paired_without_loss(jitter, lead) -> None:
    (one, two), sets = approximate(slop=0.01)
    expected = []
    for index, (shift, first) in enumerate(zip(jitter, lead, strict=False)):
        pair = (1000 + 33 * index, 1000 + 33 * index + shift)
        expected.append(pair)
        for source, ms in ((one, pair[0]), (two, pair[1]))[:: 1 if first else -1]:
            source.give(ms)
    assert sets == expected


def test_a_cache_keeps_and_finds_the_last_messages() -> None:
    source = Input()
    cache = message_filters.Cache(source, 3)
    assert cache.getLast() is None
    source.give(10, 20, 30, 40)

    def at(ms: int) -> Time:
        return Time.from_msg(stamped(ms).header.stamp)

    assert cache.getLast().ms == 40
    assert [m.ms for m in cache.getInterval(at(20), at(30))] == [20, 30]
    assert cache.getElemAfterTime(at(25)).ms == 30
    assert cache.getElemBeforeTime(at(25)).ms == 20
    assert cache.getElemBeforeTime(at(5)) is None
    assert cache.getElemAfterTime(at(45)) is None
    assert cache.getOldestTime() == at(20)
    assert cache.getLastestTime() == at(40)


def test_a_subscriber_takes_its_arguments_as_a_node_does() -> None:
    calls = []

    class Node:
        def create_subscription(self, *args, **kwargs):
            calls.append((args, kwargs))
            return type('Subscription', (), {'topic_name': '/full/name'})()

    subscriber = message_filters.Subscriber(Node(), String, 'name', qos_profile=3)
    (args, kwargs) = calls[0]
    assert args[:2] == (String, 'name')
    assert kwargs == {'qos_profile': 3}
    assert subscriber.topic_name == '/full/name'
    heard = []
    subscriber.registerCallback(heard.append)
    args[2]('message')
    assert heard == ['message']
    with pytest.raises(AttributeError):
        _ = subscriber.nothing_of_the_kind
