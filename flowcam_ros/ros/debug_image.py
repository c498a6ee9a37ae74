# SPDX-License-Identifier: Apache-2.0
"""What the estimator saw in a frame, as a picture for those who listen."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import Image

from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import header
from flowcam_ros.ros.qos import NO_PUBLISHER_EVENTS, QosReporter, output_qos
from flowcam_ros.ros.rate_limit import RateLimit

_TOPIC = '~/debug/image'
# A picture takes as long as a frame or two, and people do not look faster.
_RATE = 2.0


class DebugImages:
    """Draws and publishes ``~/debug/image``, at most twice a second, and only to subscribers.

    Args:
        node: the node to publish with.
        config: the flow method.
        reporter: is told of subscribers whose quality of service does not fit.
    """

    def __init__(self, node: Node, config: OdometryNodeConfig, reporter: QosReporter) -> None:
        self._node = node
        qos = output_qos(1)
        reporter.watch_output(node.resolve_topic_name(_TOPIC), Image, qos)
        self._publisher = node.create_publisher(
            Image, _TOPIC, qos, event_callbacks=NO_PUBLISHER_EVENTS
        )
        self._flow = make_flow(config.flow)
        self._limit = RateLimit()

    def close(self) -> None:
        """Take the publisher off the graph."""
        self._node.destroy_publisher(self._publisher)

    def publish(
        self, stamp_ns: int, camera_frame: str, latest: Callable[[], Diagnosis | None]
    ) -> None:
        """Draw the last frame if someone listens and it is time."""
        if not self._publisher.get_subscription_count():
            return
        if not self._limit.passes(stamp_ns, _RATE):
            return
        diagnosis = latest()
        if diagnosis is None:
            return
        # These import matplotlib, which a robot that is not looked at can do without.
        from flowcam_ros.visualization.diagnosis import Labels, diagnosis_picture
        from flowcam_ros.visualization.diagnosis_numbers import numbers

        labels = Labels(f'{stamp_ns * 1e-9:.3f} s')
        picture = diagnosis_picture(diagnosis, numbers(diagnosis), labels, self._flow)
        height, width = picture.shape[:2]
        message = Image(
            header=header(stamp_ns, camera_frame),
            height=height,
            width=width,
            encoding='bgr8',
            step=3 * width,
        )
        message.data.frombytes(picture.data.cast('B'))
        self._publisher.publish(message)
