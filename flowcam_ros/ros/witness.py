# SPDX-License-Identifier: Apache-2.0
"""Listens to what an odometry node publishes, and keeps what is needed to judge it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from flowcam_ros.geometry import se3
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.ros.conversions import stamp_ns, transform_from_msg

_KEEP_ALL = QoSProfile(depth=1000)


class Witness:
    """Spins in a thread while the block lasts.

    Args:
        node: the node to listen with.
        cloud_after: the odometry message after which one depth cloud is asked for; None for none.

    Attributes:
        poses: odom_from_base by stamp (nanoseconds), from /odom.
        latencies_ms: from each stamp to the arrival of its /odom; stamps must be of this clock.
        transforms: odom_from_base by stamp, from /tf.
        clouds: depth clouds that arrived.
        states: number of status messages by state.
        reasons: number of status messages by reason.
        status: the newest one.
    """

    def __init__(self, node: Node, cloud_after: int | None = None) -> None:
        self._node = node
        self._cloud_after = cloud_after
        self._cloud_subscription: Subscription | None = None
        self.poses: dict[int, np.ndarray] = {}
        self.latencies_ms: list[float] = []
        self.transforms: dict[int, np.ndarray] = {}
        self.clouds: list[PointCloud2] = []
        self.states: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.status: OdometryStatus | None = None
        node.create_subscription(Odometry, 'odom', self._on_odom, _KEEP_ALL)
        node.create_subscription(TFMessage, '/tf', self._on_tf, _KEEP_ALL)
        node.create_subscription(OdometryStatus, '/odometry/status', self._on_status, _KEEP_ALL)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name='witness', daemon=True)

    def __enter__(self) -> Witness:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=2.0)

    def wait_for_answers(self, count: int, patience_s: float) -> None:
        """Wait until so many poses have come, or none has come for some time."""
        seen, last = len(self.poses), time.monotonic()
        while len(self.poses) < count and time.monotonic() - last < patience_s:
            time.sleep(0.05)
            if len(self.poses) != seen:
                seen, last = len(self.poses), time.monotonic()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _on_odom(self, message: Odometry) -> None:
        now = time.time_ns()
        stamp = stamp_ns(message.header.stamp)
        p, q = message.pose.pose.position, message.pose.pose.orientation
        self.poses[stamp] = se3.from_quaternion(
            np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
        )
        self.latencies_ms.append((now - stamp) * 1e-6)
        if len(self.poses) == self._cloud_after:
            self._cloud_subscription = self._node.create_subscription(
                PointCloud2, 'depth/points', self._on_cloud, 1
            )

    def _on_tf(self, message: TFMessage) -> None:
        edges: list[TransformStamped] = message.transforms
        for edge in edges:
            if edge.header.frame_id == 'odom':
                self.transforms[stamp_ns(edge.header.stamp)] = transform_from_msg(edge)

    def _on_cloud(self, message: PointCloud2) -> None:
        # One is enough: a cloud is only made for those who listen.
        if not self.clouds:
            self.clouds.append(message)
            assert self._cloud_subscription is not None
            self._node.destroy_subscription(self._cloud_subscription)

    def _on_status(self, message: OdometryStatus) -> None:
        self.states[message.state] += 1
        if message.reason:
            self.reasons[message.reason] += 1
        self.status = message
