# SPDX-License-Identifier: Apache-2.0
"""Quality of service of inputs and outputs, and what is said when it does not fit."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

_RELIABLE, _BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
_LATCHED, _VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


def input_qos(name: str, depth: int) -> QoSProfile:
    """Return the profile of a qos parameter: sensor_data, reliable or transient_local."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=_BEST_EFFORT if name == 'sensor_data' else _RELIABLE,
        durability=_LATCHED if name == 'transient_local' else _VOLATILE,
    )


def output_qos(depth: int, *, latched: bool = False) -> QoSProfile:
    """Return a reliable profile, which every subscriber can hear; ``latched`` keeps the last."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=_RELIABLE,
        durability=_LATCHED if latched else _VOLATILE,
    )


def profile_text(qos: QoSProfile) -> str:
    """Return reliability and durability in words, e.g. 'reliable, volatile'."""
    return f'{qos.reliability.name.lower()}, {qos.durability.name.lower()}'


class QosReporter:
    """Says once per topic that profiles do not fit, with both of them and what to change.

    Args:
        node: whose topics they are.
        report: takes the topic and the sentence.
    """

    def __init__(self, node: Node, report: Callable[[str, str], None]) -> None:
        self._node = node
        self._report = report
        self._reported: set[str] = set()

    def for_input(self, topic: str, qos: QoSProfile, parameter: str) -> SubscriptionEventCallbacks:
        """Return the event callbacks of a subscription whose profile ``parameter`` sets."""

        def incompatible(_: object) -> None:
            offered = _other_profile(self._node.get_publishers_info_by_topic(topic), qos, True)
            self._once(
                topic,
                f'a publisher offers {offered}, but this node asks for {profile_text(qos)}, so '
                f'nothing arrives: set {parameter} to sensor_data, or change the publisher',
            )

        return SubscriptionEventCallbacks(
            incompatible_qos=incompatible, incompatible_type=self._wrong_type(topic)
        )

    def for_output(self, topic: str, qos: QoSProfile) -> PublisherEventCallbacks:
        """Return the event callbacks of a publisher."""

        def incompatible(_: object) -> None:
            asked = _other_profile(self._node.get_subscriptions_info_by_topic(topic), qos, False)
            self._once(
                topic,
                f'a subscriber asks for {asked}, but this node offers {profile_text(qos)}, so '
                'nothing reaches it: change the subscriber',
            )

        return PublisherEventCallbacks(
            incompatible_qos=incompatible, incompatible_type=self._wrong_type(topic)
        )

    def _wrong_type(self, topic: str) -> Callable[[object], None]:
        def incompatible(_: object) -> None:
            endpoints = [
                *self._node.get_publishers_info_by_topic(topic),
                *self._node.get_subscriptions_info_by_topic(topic),
            ]
            types = sorted({endpoint.topic_type for endpoint in endpoints})
            self._once(topic, f'used with different message types: {", ".join(types)}')

        return incompatible

    def _once(self, topic: str, sentence: str) -> None:
        if topic not in self._reported:
            self._reported.add(topic)
            self._report(topic, sentence)


def _other_profile(endpoints: list[TopicEndpointInfo], mine: QoSProfile, i_subscribe: bool) -> str:
    """Return the profile among the endpoints that does not fit mine."""
    for endpoint in endpoints:
        theirs = endpoint.qos_profile
        offered, asked = (theirs, mine) if i_subscribe else (mine, theirs)
        if (asked.reliability == _RELIABLE and offered.reliability == _BEST_EFFORT) or (
            asked.durability == _LATCHED and offered.durability == _VOLATILE
        ):
            return profile_text(theirs)
    return 'another profile'
