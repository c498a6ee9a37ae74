# SPDX-License-Identifier: Apache-2.0
"""~/status and /diagnostics: the same judgement for programs and for people."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from flowcam_ros.msg import OdometryStatus
from flowcam_ros.odometry.estimate import PoseEstimate
from flowcam_ros.ros.assessment import Assessment, Level, NodeState
from flowcam_ros.ros.conversions import header
from flowcam_ros.ros.health import Health
from flowcam_ros.ros.outputs import Outputs
from flowcam_ros.ros.qos import NO_PUBLISHER_EVENTS, output_qos

_LEVELS = {
    Level.OK: DiagnosticStatus.OK,
    Level.WARN: DiagnosticStatus.WARN,
    Level.ERROR: DiagnosticStatus.ERROR,
}


class StatusPublisher:
    """Publishes the judgement: ~/status per image, /diagnostics at 1 Hz and when it changes.

    Args:
        node: the node to publish with.
        outputs: owns the ~/status publisher.
        health: the counters.
        odom_frame: for the header of ~/status.
        assess: judges the node now.
    """

    def __init__(
        self,
        node: Node,
        outputs: Outputs,
        health: Health,
        odom_frame: str,
        assess: Callable[[], Assessment],
    ) -> None:
        self._node, self._outputs, self._health = node, outputs, health
        self._odom_frame, self._assess = odom_frame, assess
        self._diagnostics = node.create_publisher(
            DiagnosticArray, '/diagnostics', output_qos(10), event_callbacks=NO_PUBLISHER_EVENTS
        )
        self._lock = threading.Lock()
        self._last: tuple[NodeState, str] | None = None
        self._processed_at_last_tick = -1

    def close(self) -> None:
        """Take the publisher off the graph."""
        self._node.destroy_publisher(self._diagnostics)

    def publish(self, estimate: PoseEstimate) -> None:
        """Send ~/status for an image that was answered, and /diagnostics if the state changed."""
        assessment = self._assess()
        self._outputs.publish_status(self._message(assessment, estimate))
        self._note(assessment)

    def tick(self) -> None:
        """Call at 1 Hz: send /diagnostics, and ~/status too while no image is answered."""
        assessment = self._assess()
        processed = self._health.processed
        if processed == self._processed_at_last_tick:
            self._outputs.publish_status(self._message(assessment, None))
        self._processed_at_last_tick = processed
        if not self._note(assessment):
            self._send_diagnostics(assessment)

    def _note(self, assessment: Assessment) -> bool:
        """Log and send a change of state; return whether there was one."""
        key = (assessment.state, assessment.reason)
        with self._lock:
            if key == self._last:
                return False
            self._last = key
        text = assessment.state.name + (f': {assessment.message}' if assessment.message else '')
        logger = self._node.get_logger()
        if assessment.level is Level.OK or assessment.state is NodeState.TRACKING:
            logger.info(text)
        else:
            logger.warning(text)
        self._send_diagnostics(assessment)
        return True

    def _send_diagnostics(self, assessment: Assessment) -> None:
        findings = assessment.findings
        message = '; '.join(f.message for f in findings if f.level is not Level.OK)
        values = {
            'state': assessment.state.name,
            'reason': assessment.reason,
            **self._health.values(),
        }
        estimate = self._health.estimate
        if estimate is not None:
            values['epoch'] = str(estimate.epoch)
            values['scale source'] = estimate.scale_source
            values['inlier ratio'] = f'{estimate.inlier_ratio:.2f}'
        status = DiagnosticStatus(
            level=_LEVELS[assessment.level],
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: odometry',
            message=message or assessment.message or assessment.state.name.lower(),
            hardware_id=self._health.streams['image'].topic,
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _message(self, assessment: Assessment, estimate: PoseEstimate | None) -> OdometryStatus:
        health = self._health
        with health.lock:
            known = estimate or health.estimate
            message = OdometryStatus(
                state=int(assessment.state),
                reason=assessment.reason,
                message=assessment.message,
                epoch=known.epoch if known else 0,
                scale_source=known.scale_source if known else 'none',
                condition=math.inf,
                frames_received=health.streams['image'].count,
                frames_processed=health.processed,
                frames_dropped=health.dropped.total.total(),
                frames_rejected=health.rejected.total.total(),
            )
            if estimate is not None:
                message.points = estimate.points
                message.inlier_ratio = float(estimate.inlier_ratio)
                message.residual_px = float(estimate.residual_px)
                message.condition = float(estimate.condition)
                message.is_keyframe = estimate.is_keyframe
                message.processing_ms = health.processing_ms[-1]
                message.latency_ms = _float32(health.latencies_ms[-1])
        now = self._node.get_clock().now().nanoseconds
        message.header = header(estimate.stamp_ns if estimate else now, self._odom_frame)
        return message


def _float32(value: float) -> float:
    """Keep a value in the range of float32: a bag without use_sim_time is years late."""
    return max(-3e38, min(3e38, value))
