# SPDX-License-Identifier: Apache-2.0
"""Sends transforms that hold for good."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Publishes transforms on /tf_static; who comes later gets all of them."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        """Create the publisher; `qos` None keeps the last one, transient local."""
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.pub_tf = node.create_publisher(TFMessage, '/tf_static', qos)
        self._sent: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Publish one transform or several, along with the earlier ones of other frames."""
        several = list(transform) if isinstance(transform, Iterable) else [transform]
        self._sent.update((each.child_frame_id, each) for each in several)
        self.pub_tf.publish(TFMessage(transforms=list(self._sent.values())))
