# SPDX-License-Identifier: Apache-2.0
"""A camera: sends the frames of a bag from memory at a fixed rate, forth and back, stamped now.

``python -m benchmarks.live_publisher BAG RATE SECONDS TOPIC...``; begins when every topic has a
subscriber, and prints how many images it sent, how long that took, and how late the latest was.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import rclpy
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions

from flowcam_ros.errors import FlowcamError
from flowcam_ros.ros.bag_messages import BagMessages
from flowcam_ros.ros.bag_player import find_message_class, quality_of
from flowcam_ros.ros.restamp import Restamper, restamper_of
from flowcam_ros.ros.transport import use_image_transport_profile

WAIT_S = 60.0

Shot = list[tuple[str, bytes]]


def load(bag: Path, topics: list[str]) -> list[Shot]:
    """Return the messages of each moment: (topic, serialized message)."""
    shots: dict[int, Shot] = defaultdict(list)
    for message in BagMessages(bag).messages(topics):
        shots[message.time_ns].append((message.topic, message.data))
    return [shots[moment] for moment in sorted(shots)]


def there_and_back(count: int, index: int) -> int:
    """Return the frame shown at a step, so that the picture never jumps."""
    position = index % (2 * count - 2)
    return position if position < count else 2 * count - 2 - position


def main() -> None:
    """Send the frames."""
    bag, rate, seconds, topics = (
        Path(sys.argv[1]),
        float(sys.argv[2]),
        float(sys.argv[3]),
        sys.argv[4:],
    )
    shots = load(bag, topics)
    use_image_transport_profile()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('benchmark_camera')
    publishers: dict[str, Publisher] = {}
    restampers: dict[str, Restamper] = {}
    for topic in BagMessages(bag).topics:
        message_class = find_message_class(topic.type)
        if topic.name in topics and message_class is not None:
            restamp = restamper_of(message_class)
            assert restamp is not None, 'camera messages have headers'
            publishers[topic.name] = node.create_publisher(
                message_class, topic.name, quality_of(topic)
            )
            restampers[topic.name] = restamp
    wait_for_subscribers(publishers)
    print(json.dumps(send(shots, publishers, restampers, rate, seconds)), flush=True)
    time.sleep(1.0)
    rclpy.try_shutdown()


def wait_for_subscribers(publishers: dict[str, Publisher]) -> None:
    """Wait until everything is listened to."""
    deadline = time.monotonic() + WAIT_S
    while not all(publisher.get_subscription_count() for publisher in publishers.values()):
        if time.monotonic() > deadline:
            raise FlowcamError('nobody subscribed to the camera')
        time.sleep(0.02)
    time.sleep(0.5)


def send(
    shots: list[Shot],
    publishers: dict[str, Publisher],
    restampers: dict[str, Restamper],
    rate: float,
    seconds: float,
) -> dict[str, float]:
    """Send at a steady rate and return what was done."""
    begin = time.monotonic()
    latest = 0.0
    count = round(rate * seconds)
    for index in range(count):
        due = begin + index / rate
        time.sleep(max(0.0, due - time.monotonic()))
        latest = max(latest, time.monotonic() - due)
        stamp = time.time_ns()
        for topic, message in shots[there_and_back(len(shots), index)]:
            publishers[topic].publish(restampers[topic](message, lambda _, now=stamp: now))
    return {'sent': count, 'seconds': time.monotonic() - begin, 'latest_ms': latest * 1e3}


if __name__ == '__main__':
    main()
