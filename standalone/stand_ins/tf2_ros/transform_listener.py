# SPDX-License-Identifier: Apache-2.0
"""Fills a buffer from /tf and /tf_static."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros.buffer import Buffer

AUTHORITY = 'default_authority'


class TransformListener:
    """Subscribes to the transforms of the system and hands them to a buffer."""

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ) -> None:
        """Subscribe to /tf and /tf_static.

        Args:
            buffer: gets the transforms.
            node: owns the subscriptions.
            spin_thread: whether to spin `node` in a thread of its own; it must then be in no other
                executor.
            qos: of /tf; the last 100 if None.
            static_qos: of /tf_static; the last 100, transient local, if None.
        """
        self.buffer = buffer
        self.node = node
        # A callback may wait for a transform, which its own group must not hold back.
        self.group = ReentrantCallbackGroup()
        self.tf_sub = node.create_subscription(
            TFMessage,
            '/tf',
            self.callback,
            QoSProfile(depth=100) if qos is None else qos,
            callback_group=self.group,
        )
        if static_qos is None:
            static_qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_static_sub = node.create_subscription(
            TFMessage, '/tf_static', self.static_callback, static_qos, callback_group=self.group
        )
        if spin_thread:
            self.executor = SingleThreadedExecutor(context=node.context)
            # No daemon: one that still waits in rclpy while Python ends takes the process down.
            self.dedicated_listener_thread = Thread(target=_spin, args=(self.executor, node))
            self.dedicated_listener_thread.start()

    def __del__(self) -> None:
        """Stop the thread and unsubscribe."""
        if hasattr(self, 'dedicated_listener_thread'):
            self.executor.shutdown()
            self.dedicated_listener_thread.join()
        self.unregister()

    def unregister(self) -> None:
        """Unsubscribe."""
        for name in ('tf_sub', 'tf_static_sub'):
            if hasattr(self, name):
                self.node.destroy_subscription(getattr(self, name))

    def callback(self, data: TFMessage) -> None:
        """Hand on transforms of /tf."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, AUTHORITY)

    def static_callback(self, data: TFMessage) -> None:
        """Hand on transforms of /tf_static."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, AUTHORITY)


def _spin(executor: SingleThreadedExecutor, node: Node) -> None:
    executor.add_node(node)
    # The context ends before the executor does when the whole program is shut down.
    with suppress(ExternalShutdownException):
        executor.spin()
    executor.remove_node(node)
