# SPDX-License-Identifier: Apache-2.0
"""Publishers of the node `refine`: path, cloud and TF, all latched."""

from __future__ import annotations

import threading

import numpy as np
from jaxtyping import Float, UInt8
from nav_msgs.msg import Path
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from flowcam_ros.export.bag import RecordedOdometry, map_from_odom, map_from_world
from flowcam_ros.flowmap.preview import Preview
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.ros.qos import NO_PUBLISHER_EVENTS, output_qos
from flowcam_ros.ros.refine_messages import edge_msg, path_msg, points_msg
from flowcam_ros.runs.refine import RefineOutcome
from flowcam_ros.runs.refine_node_config import RefineNodeConfig


class RefineOutputs:
    """Shows a reconstruction, each time in place of what was shown before.

    Everything is latched, as it is sent seldom: who subscribes later, and even when all is done,
    gets the newest. TF holds for good, too, and so goes to ``/tf_static``: the recording may be
    played beside the result at any time, and stamps of then and now do not meet.

    Args:
        node: the node to publish with.
        config: frames and sizes.
    """

    def __init__(self, node: Node, config: RefineNodeConfig) -> None:
        self._node, self._config = node, config
        qos = output_qos(1, latched=True)
        self._path = node.create_publisher(
            Path, 'refined/path', qos, event_callbacks=NO_PUBLISHER_EVENTS
        )
        self._points = node.create_publisher(
            PointCloud2, 'refined/points', qos, event_callbacks=NO_PUBLISHER_EVENTS
        )
        # Not a StaticTransformBroadcaster, which goes on to send the edges of earlier recordings.
        self._tf = (
            node.create_publisher(TFMessage, '/tf_static', qos) if config.publish_tf else None
        )
        self._open = True
        self._lock = threading.Lock()

    def close(self) -> None:
        """Send nothing from now on; the messages sent so far go with the node."""
        with self._lock:
            self._open = False

    def show_preview(self, preview: Preview) -> None:
        """Send what is known so far; from any thread."""
        self._show(preview.trajectory, preview.positions, preview.colors)

    def show_result(self, outcome: RefineOutcome) -> None:
        """Send all poses and the fused cloud, or the points where no cloud was made."""
        result, cloud = outcome.refinement.reconstruction, outcome.written.cloud
        shown = result.points if cloud is None or not len(cloud) else cloud
        self._show(result.trajectory, shown.positions, shown.colors, outcome.odometry)

    def clear(self) -> None:
        """Send an empty path and cloud: there is no result."""
        nothing = np.empty((0, 3))
        trajectory = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
        self._show(trajectory, nothing, nothing.astype(np.uint8))

    def _show(
        self,
        trajectory: Trajectory,
        positions: Float[np.ndarray, 'p 3'],
        colors: UInt8[np.ndarray, 'p 3'],
        odometry: RecordedOdometry | None = None,
    ) -> None:
        config = self._config
        place = map_from_world(trajectory, odometry)
        edge, child = map_from_odom(trajectory, odometry), config.odom_frame
        if odometry is not None:
            child = odometry.frame
        path = path_msg(trajectory, place, config.map_frame)
        points = points_msg(positions, colors, place, path.header, config.max_cloud_points)
        with self._lock:
            if not self._open:
                return
            if self._tf is not None:
                self._tf.publish(TFMessage(transforms=[edge_msg(edge, path.header, child)]))
            self._path.publish(path)
            self._points.publish(points)
