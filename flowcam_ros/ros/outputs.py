# SPDX-License-Identifier: Apache-2.0
"""Publishers: odom, TF, path, status, and depth for those who listen."""

from __future__ import annotations

from collections.abc import Callable

from nav_msgs.msg import Odometry, Path
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, PointCloud2
from tf2_ros import TransformBroadcaster

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.msg import OdometryStatus
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import (
    BodyMotion,
    header,
    odometry_msg,
    pose_stamped_msg,
    transform_msg,
)
from flowcam_ros.ros.debug_image import DebugImages
from flowcam_ros.ros.depth_messages import cloud_msg, depth_image_msg, depth_variance_msg
from flowcam_ros.ros.qos import NO_PUBLISHER_EVENTS, QosReporter, output_qos
from flowcam_ros.ros.rate_limit import RateLimit
from flowcam_ros.ros.recorder import PathRecorder, TrajectoryRecorder


class Outputs:
    """Sends what is known about one frame.

    Args:
        node: the node to publish with.
        config: frames, rates and sizes.
        reporter: is told of subscribers whose quality of service does not fit.

    Attributes:
        trajectory: every pose of this epoch, for ~/save_trajectory.
        debug: what the estimator saw, as pictures.
    """

    def __init__(self, node: Node, config: OdometryNodeConfig, reporter: QosReporter) -> None:
        self._node, self._config = node, config
        self._odom = _publisher(node, reporter, Odometry, 'odom', 10)
        self._path = _publisher(node, reporter, Path, 'path', 1, latched=True)
        self._status = _publisher(node, reporter, OdometryStatus, '~/status', 10)
        self._depth = _publisher(node, reporter, Image, 'depth/image_rect', 1)
        self._variance = _publisher(node, reporter, Image, 'depth/variance', 1)
        self._cloud = _publisher(node, reporter, PointCloud2, 'depth/points', 1)
        self._broadcaster = TransformBroadcaster(node) if config.publish_tf else None
        self._paths = PathRecorder(config.path_max_size)
        self._path_is_new = True
        self._path_listeners = 0
        self._depth_limit = RateLimit()
        self.trajectory = TrajectoryRecorder(config.trajectory_max_size)
        self.debug = DebugImages(node, config, reporter)

    def close(self) -> None:
        """Take the publishers off the graph."""
        depth = self._depth, self._variance, self._cloud
        for publisher in (self._odom, self._path, self._status, *depth):
            self._node.destroy_publisher(publisher)
        self.debug.close()
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)

    def reconfigure(self, config: OdometryNodeConfig) -> None:
        """Take over the options that may change."""
        self._config = config

    def begin_epoch(self) -> None:
        """Forget the path so far: a new one begins at the origin."""
        self._paths.clear()
        self._path_is_new = True
        self.trajectory.clear()

    def publish_motion(self, motion: BodyMotion, camera_frame: str, *, believed: bool) -> None:
        """Send TF and odom; a pose that is not believed gets no TF and is no part of the path."""
        base = self._config.base_frame or camera_frame
        if believed and self._broadcaster is not None:
            transform = transform_msg(
                motion, self._config.odom_frame, base, inverted=self._config.invert_odom_tf
            )
            self._broadcaster.sendTransform(transform)
        self._odom.publish(odometry_msg(motion, self._config.odom_frame, base))
        if believed:
            self.trajectory.add(motion)
            self._paths.add(pose_stamped_msg(motion, self._config.odom_frame))
            self._path_is_new = True

    def publish_status(self, status: OdometryStatus) -> None:
        """Send the state of the node."""
        self._status.publish(status)

    def publish_path(self) -> None:
        """Send the path if it changed and someone listens; also for a new listener."""
        listeners = self._path.get_subscription_count()
        came = listeners > self._path_listeners
        self._path_listeners = listeners
        if listeners and (self._path_is_new or came):
            self._path_is_new = False
            poses = self._paths.poses()
            newest = poses[-1].header if poses else header(0, self._config.odom_frame)
            self._path.publish(Path(header=newest, poses=poses))

    def publish_depth(
        self, stamp_ns: int, camera_frame: str, latest_depth: Callable[[], DepthEstimate | None]
    ) -> None:
        """Send depth, variance and cloud, each if someone listens, at most at depth_rate."""
        wants_image, wants_variance, wants_cloud = (
            publisher.get_subscription_count() > 0
            for publisher in (self._depth, self._variance, self._cloud)
        )
        if not (wants_image or wants_variance or wants_cloud) or not self._depth_limit.passes(
            stamp_ns, self._config.depth_rate
        ):
            return
        estimate = latest_depth()
        if estimate is None:
            return
        if wants_image:
            self._depth.publish(depth_image_msg(estimate, camera_frame))
        if wants_variance:
            self._variance.publish(depth_variance_msg(estimate, camera_frame))
        if wants_cloud:
            decimation = self._config.cloud_decimation
            self._cloud.publish(cloud_msg(estimate, camera_frame, decimation))


def _publisher(
    node: Node, reporter: QosReporter, kind: type, name: str, depth: int, *, latched: bool = False
) -> Publisher:
    qos = output_qos(depth, latched=latched)
    reporter.watch_output(node.resolve_topic_name(name), kind, qos)
    return node.create_publisher(kind, name, qos, event_callbacks=NO_PUBLISHER_EVENTS)
