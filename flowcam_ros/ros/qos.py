# SPDX-License-Identifier: Apache-2.0
"""Quality of service of inputs and outputs, and what is said when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.topic_endpoint_info import TopicEndpointInfo

# Each event handler costs a Python executor time at every message; misfits are found by looking at
# the graph once a second instead.
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)


def input_qos(name: str, depth: int) -> QoSProfile:
    """Return the profile of a qos parameter: sensor_data, reliable or transient_local."""
    best_effort, latched = name == 'sensor_data', name == 'transient_local'
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def output_qos(depth: int, *, latched: bool = False) -> QoSProfile:
    """Return a reliable profile, which every subscriber can hear; ``latched`` keeps the last."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def profile_text(qos: QoSProfile) -> str:
    """Return reliability and durability in words, e.g. 'reliable, volatile'."""
    return f'{qos.reliability.name.lower()}, {qos.durability.name.lower()}'


@dataclass(frozen=True)
class _Watched:
    topic: str
    type_name: str
    qos: QoSProfile
    parameter: str  # what sets the profile of an input; '' for an output


class QosReporter:
    """Says once per topic what keeps messages from arriving, and what to change.

    Args:
        node: whose graph to look at.
        report: takes the topic and the sentence.
    """

    def __init__(self, node: Node, report: Callable[[str, str], None]) -> None:
        self._node = node
        self._report = report
        self._watched: dict[tuple[str, bool], _Watched] = {}
        self._reported: set[str] = set()

    def watch_input(self, topic: str, kind: type, qos: QoSProfile, parameter: str) -> None:
        """Look after a subscription whose profile ``parameter`` sets."""
        self._watched[topic, True] = _Watched(topic, type_name(kind), qos, parameter)

    def watch_output(self, topic: str, kind: type, qos: QoSProfile) -> None:
        """Look after a publisher."""
        self._watched[topic, False] = _Watched(topic, type_name(kind), qos, '')

    def forget_input(self, topic: str) -> None:
        """Look after a subscription no longer."""
        self._watched.pop((topic, True), None)

    def check(self) -> dict[str, str]:
        """Compare with who is on the other side; call once a second from the executor.

        Returns:
            What does not fit now, by topic.
        """
        misfits: dict[str, str] = {}
        for watched in list(self._watched.values()):
            sentence = self._misfit(watched)
            if sentence is None:
                continue
            misfits[watched.topic] = sentence
            if watched.topic not in self._reported:
                self._reported.add(watched.topic)
                self._report(watched.topic, sentence)
        return misfits

    def _misfit(self, mine: _Watched) -> str | None:
        if mine.parameter:
            others = self._node.get_publishers_info_by_topic(mine.topic)
        else:
            others = self._node.get_subscriptions_info_by_topic(mine.topic)
        for other in others:
            if other.topic_type != mine.type_name:
                return (
                    f'another node uses this topic with {other.topic_type}, this node with '
                    f'{mine.type_name}; remap it, or set image_transport or depth_transport'
                )
            if not _fits(mine, other):
                return _explain(mine, profile_text(other.qos_profile))
        return None


def _fits(mine: _Watched, other: TopicEndpointInfo) -> bool:
    """Compare what this node sets; rclpy's own check stumbles over deadlines nobody set."""
    theirs = other.qos_profile
    offered, asked = (theirs, mine.qos) if mine.parameter else (mine.qos, theirs)
    unreliable = (
        offered.reliability == ReliabilityPolicy.BEST_EFFORT
        and asked.reliability == ReliabilityPolicy.RELIABLE
    )
    forgets = (
        offered.durability == DurabilityPolicy.VOLATILE
        and asked.durability == DurabilityPolicy.TRANSIENT_LOCAL
    )
    return not (unreliable or forgets)


def _explain(mine: _Watched, theirs: str) -> str:
    own = profile_text(mine.qos)
    if mine.parameter:
        return (
            f'a publisher offers {theirs}, but this node asks for {own}, so nothing arrives: set '
            f'{mine.parameter} to sensor_data, or change the publisher'
        )
    return (
        f'a subscriber asks for {theirs}, but this node offers {own}, so nothing reaches it: '
        'change the subscriber'
    )


def type_name(kind: type) -> str:
    """Return the name of a message class as the graph shows it, e.g. sensor_msgs/msg/Image."""
    package, space = kind.__module__.split('.')[:2]
    return f'{package}/{space}/{kind.__name__}'
