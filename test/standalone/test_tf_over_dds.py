# SPDX-License-Identifier: Apache-2.0
"""Broadcasters and the listener, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flowcam_ros.ros.isolation import isolated_environment

SENDER = """
import rclpy, tf2_ros
from geometry_msgs.msg import TransformStamped
rclpy.init()
node = rclpy.create_node('sender')
fixed, moving = tf2_ros.StaticTransformBroadcaster(node), tf2_ros.TransformBroadcaster(node)

def transform(parent, child, x):
    message = TransformStamped()
    message.header.stamp = node.get_clock().now().to_msg()
    message.header.frame_id, message.child_frame_id = parent, child
    message.transform.translation.x = x
    return message

fixed.sendTransform([transform('base', 'camera', 0.5), transform('base', 'imu', 0.25)])
count = 0

def send():
    global count
    count += 1
    moving.sendTransform(transform('odom', 'base', float(count)))

node.create_timer(0.02, send)
print('sending', flush=True)
rclpy.spin(node)
"""

LISTENER = """
import rclpy, tf2_ros, time
from rclpy.duration import Duration
from rclpy.time import Time

def listen():
    node = rclpy.create_node('listener')
    buffer = tf2_ros.Buffer(node=node)
    listener = tf2_ros.TransformListener(buffer, node, spin_thread=True)
    latest = buffer.lookup_transform('odom', 'camera', Time(), Duration(seconds=20))
    now = node.get_clock().now()
    begin = time.monotonic()
    answer = buffer.lookup_transform('odom', 'camera', now, Duration(seconds=5))
    waited = time.monotonic() - begin
    fixed = buffer.lookup_transform('imu', 'camera', Time())
    assert Time.from_msg(answer.header.stamp).nanoseconds == now.nanoseconds
    assert answer.transform.translation.x >= latest.transform.translation.x
    assert abs(fixed.transform.translation.x - 0.25) < 1e-9
    assert waited < 2.0, waited
    print('heard', flush=True)

rclpy.init()
try:
    listen()
finally:
    rclpy.shutdown()
"""


@pytest.fixture
def environment() -> dict[str, str]:
    return isolated_environment()


def test_a_late_listener_hears_static_and_moving_transforms(environment) -> None:
    sender = subprocess.Popen(
        [sys.executable, '-c', SENDER], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert sender.stdout is not None
        assert sender.stdout.readline() == 'sending\n'
        listener = subprocess.run(
            [sys.executable, '-c', LISTENER],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        sender.kill()
        sender.communicate()
    assert (listener.stdout, listener.returncode) == ('heard\n', 0), listener.stderr
