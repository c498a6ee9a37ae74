# SPDX-License-Identifier: Apache-2.0
"""What keeps messages from arriving is said once, and counts for as long as it is so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from nav_msgs.msg import Odometry

from flowcam_ros.ros.qos import QosReporter, output_qos


class Graph:
    """A node that knows who subscribes."""

    def __init__(self) -> None:
        self.subscribers: list[SimpleNamespace] = []

    def get_subscriptions_info_by_topic(self, topic: str) -> list[SimpleNamespace]:
        return self.subscribers


def test_a_misfit_is_reported_once_and_ends_with_its_cause() -> None:
    graph, said = Graph(), list[str]()
    reporter = QosReporter(graph, lambda topic, sentence: said.append(f'{topic}: {sentence}'))  # type: ignore[arg-type]
    reporter.watch_output('/odom', Odometry, output_qos(10))
    assert reporter.check() == {}
    latched = SimpleNamespace(
        topic_type='nav_msgs/msg/Odometry', qos_profile=output_qos(1, latched=True)
    )
    graph.subscribers = [latched]
    for _ in range(2):
        assert 'transient_local' in reporter.check()['/odom']
    graph.subscribers = []
    assert reporter.check() == {}
    assert len(said) == 1
