# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `odometry`: assembles its parts and drives them through the states."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.clock import Clock, ClockType, JumpHandle, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer

from flowcam_ros.errors import FlowcamError
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.odometry.pipeline import VisualOdometry
from flowcam_ros.ros.assessment import Assessment, assess
from flowcam_ros.ros.extrinsics import Extrinsics
from flowcam_ros.ros.frame_builder import FrameBuilder
from flowcam_ros.ros.health import Health
from flowcam_ros.ros.inputs import Inputs, Packet, topic_names
from flowcam_ros.ros.outputs import Outputs
from flowcam_ros.ros.parameters import NodeParameters
from flowcam_ros.ros.qos import QosReporter
from flowcam_ros.ros.services import Services
from flowcam_ros.ros.status import StatusPublisher
from flowcam_ros.ros.tracker import Estimator, FrameTracker
from flowcam_ros.ros.worker import Mailbox, Worker

# A frame at hand is finished within this time at shutdown, or left.
_STOP_S = 1.0

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class OdometryNode(LifecycleNode):
    """Visual odometry as a lifecycle node; docs/interface.md describes it.

    configure builds the estimator and what publishes; activate begins to listen; deactivate stops
    listening and keeps the pose; cleanup takes everything down.

    Args:
        make_estimator: builds the estimator.

    Attributes:
        ended: set once the node was shut down.
        fault: why the last configure failed.
        failure: always None; what can fail for good fails at the start.

    Raises:
        ConfigError: parameters are unknown, of the wrong type or out of range; names them all.
    """

    def __init__(
        self, make_estimator: Callable[[OdometryNodeConfig], Estimator] = VisualOdometry
    ) -> None:
        super().__init__('odometry')
        self.ended = threading.Event()
        self._make_estimator = make_estimator
        self._parts: _Parts | None = None
        self.fault: FlowcamError | None = None
        self.failure: FlowcamError | None = None
        self.parameters = NodeParameters(self, OdometryNodeConfig)
        self.parameters.on_change(self._reconfigure)

    def start_if_wanted(self) -> None:
        """Configure and activate, if ``autostart`` says so.

        Raises:
            FlowcamError: that failed; the message says why.
        """
        if not self.parameters.config.autostart:
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() is not _SUCCESS:
                raise self.fault or FlowcamError('the node could not be started')

    def end(self) -> None:
        """Stop and take everything down, from whatever state; for the end of the process."""
        if not self.ended.is_set():
            self.trigger_shutdown()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build everything but the subscriptions."""
        config = self.parameters.config
        try:
            estimator = self._make_estimator(config)
        except FlowcamError as error:
            self.fault = error
            if not config.autostart:
                self.get_logger().error(str(error))
            return _FAILURE
        self._parts = _Parts(self, config, estimator)
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen; fails while an image from before is still being worked on."""
        if self._parts is None:
            return _SUCCESS
        if self._parts.is_working():
            self.get_logger().error(
                'the last image before deactivation is still being worked on; activate later'
            )
            return _FAILURE
        self._parts.start()
        return _SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen; the pose is kept."""
        if self._parts is not None:
            self._parts.stop()
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take everything down."""
        if self._parts is not None:
            self._parts.stop()
            self._parts.close()
            self._parts = None
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take everything down, from whatever state; the process ends then."""
        result = self.on_cleanup(state)
        self.ended.set()
        return result

    def _reconfigure(self, config: OdometryNodeConfig) -> None:
        if self._parts is not None:
            self._parts.reconfigure(config)


class _Parts:
    """What a configured node consists of."""

    def __init__(
        self, node: OdometryNode, config: OdometryNodeConfig, estimator: Estimator
    ) -> None:
        self._node, self._config = node, config
        topics = topic_names(node, config)
        self._health = Health({**topics, 'pairs': 'pairs'})
        self._reporter = QosReporter(node, self._report_qos)
        self._outputs = Outputs(node, config, self._reporter)
        self._extrinsics = Extrinsics(node, config)
        self._latest: dict[str, object] = {}
        self._status = StatusPublisher(
            node, self._outputs, self._health, config.odom_frame, self._assess
        )
        builder = FrameBuilder(config, topics, self._latest, self._extrinsics.lookup)
        self._tracker = FrameTracker(
            node,
            config,
            estimator,
            builder,
            self._extrinsics,
            self._outputs,
            self._health,
            self._status,
        )
        self._services = Services(
            node,
            self._reset,
            self._health.pause,
            self._outputs.trajectory,
            config.output_dir,
            '# stamp tx ty tz qx qy qz qw '
            f'(s, m; {config.base_frame or "camera"} in {config.odom_frame})',
        )
        self._mailbox: Mailbox[Packet] = Mailbox()
        self._worker: Worker[Packet] | None = None
        self._inputs: Inputs | None = None
        self._timers: list[Timer] = []
        self._jumps: JumpHandle | None = None

    def start(self) -> None:
        """Listen, work and report."""
        config, node = self._config, self._node
        newest_only = config.always_process_most_recent_frame
        self._mailbox = Mailbox(1 if newest_only else config.topic_queue_size)
        self._worker = Worker(self._tracker, self._mailbox)
        self._tracker.silence(False)
        self._health.restart()
        self._worker.start()
        self._inputs = Inputs(
            node, config, self._health, self._reporter, self._latest, self._deliver
        )
        # Reports must also come while a simulated clock stands still or jumps.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(1.0, self._tick, clock=steady),
            node.create_timer(1.0 / config.path_rate, self._outputs.publish_path, clock=steady),
        ]
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
        )
        self._jumps = node.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def is_working(self) -> bool:
        """Whether an image is still being worked on after :meth:`stop`."""
        return self._worker is not None and self._worker.is_alive()

    def stop(self) -> None:
        """Stop listening and working; returns within about a second."""
        self._tracker.silence(True)
        if self._jumps is not None:
            self._jumps.unregister()
            self._jumps = None
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers = []
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        if self._worker is not None:
            if self._worker.stop(_STOP_S):
                self._worker = None
            else:
                self._node.get_logger().warning('the image at hand was left unfinished')

    def close(self) -> None:
        """Take publishers and services off the graph."""
        self._extrinsics.close()
        self._services.close()
        self._status.close()
        self._outputs.close()

    def reconfigure(self, config: OdometryNodeConfig) -> None:
        """Take over changed options."""
        self._config = config
        self._tracker.reconfigure(config)
        self._outputs.reconfigure(config)
        if self._inputs is not None:
            self._inputs.reconfigure(config)

    def _deliver(self, packet: Packet) -> None:
        self._health.offered(self._mailbox.put(packet))

    def _reset(self) -> None:
        self._tracker.request_reset()
        self._mailbox.clear()
        if self._inputs is not None:
            self._inputs.choose_again()

    def _assess(self) -> Assessment:
        busy = self._worker.busy_seconds() if self._worker is not None else 0.0
        return assess(self._health, self._config, busy)

    def _tick(self) -> None:
        self._extrinsics.tidy()
        self._health.qos_misfits(self._reporter.check())
        self._status.tick()

    def _on_jump(self, jump: TimeJump) -> None:
        """The clock was set back (a simulation or a bag began again): old transforms are void."""
        self._extrinsics.clear()

    def _report_qos(self, topic: str, sentence: str) -> None:
        self._node.get_logger().warning(f'{topic}: {sentence}')
