# SPDX-License-Identifier: Apache-2.0
"""How far the node `refine` is: feedback of its action, and /diagnostics."""

from __future__ import annotations

import math

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from flowcam_ros.action import RefineBag
from flowcam_ros.ros.qos import NO_PUBLISHER_EVENTS, output_qos
from flowcam_ros.runs.refine_job import RefineProgress


def feedback(progress: RefineProgress) -> RefineBag.Feedback:
    """Return the feedback message of a progress."""
    return RefineBag.Feedback(
        stage=progress.stage,
        detail=progress.detail,
        step=progress.step,
        steps=progress.steps,
        loss=float(progress.loss),
        focal_px=float(progress.focal_px),
        elapsed_s=progress.elapsed_s,
    )


def in_words(progress: RefineProgress) -> str:
    """Return a progress as a short line."""
    steps = f' of {progress.steps}' if progress.steps else ''
    step = f', {progress.step}{steps}' if progress.step else ''
    detail = f': {progress.detail}' if progress.detail else ''
    return f'{progress.stage or "starting"}{detail}{step}'


class RefineStatus:
    """Publishes /diagnostics.

    Args:
        node: the node to publish with.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', output_qos(10), event_callbacks=NO_PUBLISHER_EVENTS
        )

    def working(self, source: str, progress: RefineProgress) -> None:
        """Say what goes on."""
        numbers = {'loss': progress.loss, 'focal length (px)': progress.focal_px}
        values = {
            'stage': progress.stage,
            'step': f'{progress.step}/{progress.steps}',
            **{name: f'{value:.6g}' for name, value in numbers.items() if math.isfinite(value)},
            'elapsed (s)': f'{progress.elapsed_s:.0f}',
        }
        self._send(DiagnosticStatus.OK, in_words(progress), source, values)

    def idle(self, message: str, *, failed: bool) -> None:
        """Say that nothing goes on, and what came of the last one."""
        self._send(DiagnosticStatus.ERROR if failed else DiagnosticStatus.OK, message, '', {})

    def _send(self, level: bytes, message: str, source: str, values: dict[str, str]) -> None:
        status = DiagnosticStatus(
            level=level,
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: refine',
            message=message,
            hardware_id=source,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
