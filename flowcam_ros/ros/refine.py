# SPDX-License-Identifier: Apache-2.0
"""The node `refine`: refines a bag at once, or bags as goals of its action."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from flowcam_ros.action import RefineBag
from flowcam_ros.errors import FlowcamError
from flowcam_ros.ros.parameters import NodeParameters
from flowcam_ros.ros.refine_goal import message_of, request_of, request_of_goal, result_of
from flowcam_ros.ros.refine_outputs import RefineOutputs
from flowcam_ros.ros.refine_status import RefineStatus, feedback
from flowcam_ros.runs.refine import warnings
from flowcam_ros.runs.refine_job import RefineEnd, RefineJob, RefineRequest
from flowcam_ros.runs.refine_node_config import RefineNodeConfig

# A refinement that is cancelled gives up within seconds, and then removes what it wrote.
_STOP_S = 60.0
_WAITING = 'waiting for a goal of the action ~/refine_bag'


@dataclass(frozen=True)
class _Running:
    job: RefineJob
    request: RefineRequest
    goal: ServerGoalHandle | None  # None for the bag of the parameters


class RefineNode(Node):
    """Refines one recording at a time, in a thread beside the executor; docs/interface.md.

    Attributes:
        ended: set once the process shall end.
        failure: why the bag of the parameters could not be refined.

    Raises:
        ConfigError: parameters are unknown, of the wrong type or out of range; names them all.
    """

    def __init__(self) -> None:
        super().__init__('refine')
        self.ended = threading.Event()
        self.failure: FlowcamError | None = None
        self.parameters = NodeParameters(self, RefineNodeConfig)
        config = self.parameters.config
        self._outputs = RefineOutputs(self, config)
        self._status = RefineStatus(self)
        self._busy = False
        self._running: _Running | None = None
        self._last = (_WAITING, False)
        self._server = ActionServer(
            self,
            RefineBag,
            '~/refine_bag',
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )
        # Progress must also be told while a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / config.feedback_rate, self._tell_goal, clock=steady)
        self.create_timer(1.0, self._tell_all, clock=steady)

    def start_if_wanted(self) -> None:
        """Begin with the bag that the parameters name, if they do."""
        config = self.parameters.config
        if not config.bag:
            self.get_logger().info(_WAITING)
            return
        self._busy = True
        self._begin(request_of(config, config.bag, config.output), None, self._own_bag_ended)

    def end(self) -> None:
        """Cancel what goes on and wait until it has removed what it wrote."""
        self.ended.set()
        self._outputs.close()
        running = self._running
        if running is not None:
            running.job.cancel()
            if not running.job.join(_STOP_S):
                self.get_logger().warning(
                    f'what was written for {running.request.output} may be left behind: the '
                    f'refinement did not stop within {_STOP_S:.0f} s'
                )
        self._server.destroy()

    def _begin(
        self,
        request: RefineRequest,
        goal: ServerGoalHandle | None,
        on_end: Callable[[RefineEnd], None],
    ) -> RefineJob:
        """Start the job; ``on_end`` is called in its thread once its result is shown."""

        def ended(end: RefineEnd) -> None:
            try:
                self._show(end)
            finally:
                self._last = message_of(end), end.error is not None
                self._running = None
                self._busy = False
                on_end(end)

        self.get_logger().info(f'refining {request.source} into {request.output}')
        job = RefineJob(request, self._outputs.show_preview, ended)
        self._running = _Running(job, request, goal)
        job.start()
        return job

    def _show(self, end: RefineEnd) -> None:
        """Publish and log how a job ended."""
        outcome, logger = end.outcome, self.get_logger()
        own = self._running is not None and self._running.goal is None
        if outcome is not None:
            for sentence in warnings(outcome):
                logger.warning(sentence)
            self._outputs.show_result(outcome)
        else:
            self._outputs.clear()
        if end.error is None:
            logger.info(message_of(end))
        elif not own:  # the process ends with the error of its own bag, and tells it then
            logger.error(message_of(end))

    def _own_bag_ended(self, end: RefineEnd) -> None:
        """End the process if it is wanted, or if there is nothing to show."""
        self.failure = end.error
        if end.outcome is None or self.parameters.config.exit_when_done:
            self.ended.set()

    def _on_goal(self, goal: RefineBag.Goal) -> GoalResponse:
        if self._busy or self.ended.is_set():
            self.get_logger().warning(
                f'the goal to refine {goal.bag!r} is rejected: one recording at a time'
            )
            return GoalResponse.REJECT
        self._busy = True
        return GoalResponse.ACCEPT

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        running = self._running
        if running is not None and running.goal is not None:
            running.job.cancel()
        return CancelResponse.ACCEPT

    async def _execute(self, goal: ServerGoalHandle) -> RefineBag.Result:
        try:
            request = request_of_goal(self.parameters.config, goal.request)
        except FlowcamError as error:
            self._busy = False
            self.get_logger().error(str(error))
            goal.abort()
            return RefineBag.Result(message=str(error))
        done = Future(executor=self.executor)

        def on_end(end: RefineEnd) -> None:
            done.set_result(end)
            executor = self.executor
            if executor is not None:
                executor.wake()

        job = self._begin(request, goal, on_end)
        if goal.is_cancel_requested:  # before there was a job
            job.cancel()
        end = await done
        if end.outcome is not None:
            goal.succeed()
        elif end.error is None and goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result_of(end)

    def _tell_goal(self) -> None:
        running = self._running
        if running is not None and running.goal is not None:
            running.goal.publish_feedback(feedback(running.job.progress()))

    def _tell_all(self) -> None:
        running = self._running
        if running is not None:
            self._status.working(running.request.source, running.job.progress())
        else:
            message, failed = self._last
            self._status.idle(message, failed=failed)
