# SPDX-License-Identifier: Apache-2.0
"""The way of one frame through the node: messages in, estimate, messages out."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from typing import Protocol

from rclpy.node import Node

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.estimate import PoseEstimate
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import body_motion, odom_from_world, stamp_ns, unbelieved
from flowcam_ros.ros.extrinsics import Extrinsics, TransformMissing
from flowcam_ros.ros.frame_builder import FrameBuilder
from flowcam_ros.ros.health import Health
from flowcam_ros.ros.inputs import Packet
from flowcam_ros.ros.outputs import Outputs
from flowcam_ros.ros.status import StatusPublisher
from flowcam_ros.ros.throttle import Throttle


class Estimator(Protocol):
    """What the node needs of flowcam_ros.odometry.pipeline.VisualOdometry."""

    def process(self, frame: Frame) -> PoseEstimate:
        """Estimate the pose of one frame."""
        ...

    def latest_depth(self) -> DepthEstimate | None:
        """Return the newest depth."""
        ...

    def diagnosis(self) -> Diagnosis | None:
        """Return the inner workings of the last frame."""
        ...

    def reconfigure(self, config: OdometryConfig) -> None:
        """Take over changed options."""
        ...

    def reset(self) -> None:
        """Begin a new epoch."""
        ...


@dataclass(frozen=True)
class _Epoch:
    """What stays the same while the odometry frame does."""

    number: int
    camera_frame: str
    odom_from_world: Matrix4


class FrameTracker:
    """Works on packets in the worker's thread; its requests may come from any thread."""

    def __init__(
        self,
        node: Node,
        config: OdometryNodeConfig,
        estimator: Estimator,
        builder: FrameBuilder,
        extrinsics: Extrinsics,
        outputs: Outputs,
        health: Health,
        status: StatusPublisher,
    ) -> None:
        self._node, self._config, self._estimator = node, config, estimator
        self._builder, self._extrinsics = builder, extrinsics
        self._outputs, self._health, self._status = outputs, health, status
        self._throttle = Throttle()
        self._epoch: _Epoch | None = None
        self._last_stamp_ns = 0
        self._changed_config: OdometryNodeConfig | None = None
        self._lock = threading.Lock()
        self._reset_requested = False
        self._silenced = False

    def request_reset(self) -> None:
        """Let the next image begin a new epoch; what is being worked on is not published."""
        with self._lock:
            self._reset_requested = True

    def reconfigure(self, config: OdometryNodeConfig) -> None:
        """Take over changed options before the next image."""
        with self._lock:
            self._changed_config = config

    def silence(self, silent: bool) -> None:
        """Publish nothing any more, not even what is being worked on."""
        self._silenced = silent

    def __call__(self, packet: Packet) -> None:
        """Work on one packet; whatever goes wrong is counted and said, never raised."""
        logger = self._node.get_logger()
        # rclpy ties a severity to the line that logs, hence one line for each.
        try:
            self._obey_requests()
            self._track(packet)
        except FrameRejected as error:
            self._health.rejected_because(error.reason, str(error))
            if text := self._throttle.passes(error.reason, f'image rejected: {error}'):
                logger.warning(text)
        except TransformMissing as error:
            self._health.waits_for_transform(str(error))
            if text := self._throttle.passes('tf', str(error)):
                logger.error(text)
        except Exception as error:  # one bad image must not end the node
            fault = f'{type(error).__name__}: {error}'
            self._health.rejected_because('internal', fault)
            if text := self._throttle.passes('internal', f'image left out, a fault: {fault}'):
                logger.error(text)
            logger.debug(traceback.format_exc())

    def _obey_requests(self) -> None:
        with self._lock:
            config, self._changed_config = self._changed_config, None
            reset, self._reset_requested = self._reset_requested, False
        if config is not None:
            self._config = config
            self._estimator.reconfigure(config)
        if reset:
            self._estimator.reset()

    def _track(self, packet: Packet) -> None:
        camera_frame = self._builder.frame_id(packet)
        stamp = stamp_ns(packet.image.header.stamp)
        if stamp < self._last_stamp_ns:
            self._extrinsics.clear()
        base_from_camera = self._extrinsics.base_from_camera(camera_frame, stamp)
        frame = self._builder.build(packet)
        if self._epoch is not None and self._epoch.camera_frame != camera_frame:
            self._node.get_logger().warning(
                f'the camera changed from {self._epoch.camera_frame!r} to {camera_frame!r}: '
                'a new epoch begins'
            )
            self._estimator.reset()
        begin = time.perf_counter()
        estimate = self._estimator.process(frame)
        processing_ms = (time.perf_counter() - begin) * 1e3
        self._last_stamp_ns = stamp
        epoch = self._epoch_of(estimate, camera_frame, base_from_camera)
        with self._lock:
            superseded = self._reset_requested
        if superseded or self._silenced or self._health.paused:
            return
        self._publish(estimate, epoch, base_from_camera)
        self._report(estimate, processing_ms)
        self._outputs.publish_depth(stamp, camera_frame, self._estimator.latest_depth)
        self._outputs.debug.publish(stamp, camera_frame, self._estimator.diagnosis)

    def _epoch_of(
        self, estimate: PoseEstimate, camera_frame: str, base_from_camera: Matrix4 | None
    ) -> _Epoch:
        """Return the epoch of an estimate; the first frame of a new one fixes its origin."""
        if self._epoch is not None and self._epoch.number == estimate.epoch:
            return self._epoch
        if self._epoch is not None:
            self._node.get_logger().info(f'epoch {estimate.epoch} begins: odom starts anew')
        self._outputs.begin_epoch()
        origin = odom_from_world(base_from_camera, estimate.world_from_camera)
        self._epoch = _Epoch(estimate.epoch, camera_frame, origin)
        return self._epoch

    def _publish(
        self, estimate: PoseEstimate, epoch: _Epoch, base_from_camera: Matrix4 | None
    ) -> None:
        own_motion = self._extrinsics.camera_in_base_twist(base_from_camera, estimate.stamp_ns)
        lost = not estimate.believed
        if lost and not self._config.publish_null_when_lost:
            return
        motion = body_motion(estimate, epoch.odom_from_world, base_from_camera, own_motion)
        self._outputs.publish_motion(
            unbelieved(motion) if lost else motion, epoch.camera_frame, believed=not lost
        )

    def _report(self, estimate: PoseEstimate, processing_ms: float) -> None:
        latency = self._node.get_clock().now().nanoseconds - estimate.stamp_ns
        self._health.answered(estimate, processing_ms, latency * 1e-6)
        self._status.publish(estimate)
