# SPDX-License-Identifier: Apache-2.0
"""The tree of frames with waiting and a service that shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph
from tf2_ros.buffer_core import DEFAULT_CACHE_TIME, BufferCore

NO_WAIT = Duration()


class Buffer(BufferCore):
    """Keeps the recent transforms between frames; look-ups may wait for them.

    Waiting blocks the calling thread, which must not be the one that receives the transforms.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        """Create an empty buffer.

        Args:
            cache_time: how far back transforms are kept; 10 s if None.
            node: gives the clock, whose jumps back empty the buffer, and offers ``tf2_frames``.
        """
        super().__init__(DEFAULT_CACHE_TIME if cache_time is None else cache_time)
        self._waiting: list[Callable[[], None]] = []
        self._waiting_lock = threading.Lock()
        if node is not None:
            self.srv = node.create_service(FrameGraph, 'tf2_frames', self._answer_frames)
            threshold = JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
            )
            self.jump_handle = node.get_clock().create_jump_callback(
                threshold, post_callback=self.time_jump_callback
            )

    def time_jump_callback(self, _: TimeJump) -> None:
        """Forget the transforms of a time that is over."""
        get_logger('tf2_buffer').warning('Detected jump back in time. Clearing tf buffer.')
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take over a transform; an invalid or too old one is logged and ignored."""
        super().set_transform(transform, authority)
        self._tell_waiting()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take over a transform that holds at every time."""
        super().set_transform_static(transform, authority)
        self._tell_waiting()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT
    ) -> TransformStamped:
        """Return ``target_from_source`` at `time` (zero: the latest), waiting up to `timeout`.

        Raises:
            TransformException: one of the causes of :meth:`lookup_transform_core`.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
    ) -> TransformStamped:
        """Return ``target_from_source`` between two times, by way of a frame that stays."""
        where = (target_frame, target_time, source_frame, source_time, fixed_frame)
        self.can_transform_full(*where, timeout)
        return self.lookup_transform_full_core(*where)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Return whether the look-up succeeds within `timeout`, with the reason if asked for."""
        answer = self._wait(
            lambda: self.can_transform_core(target_frame, source_frame, time), timeout
        )
        return answer if return_debug_tuple else answer[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Return whether the look-up between two times succeeds within `timeout`."""
        where = (target_frame, target_time, source_frame, source_time, fixed_frame)
        answer = self._wait(lambda: self.can_transform_full_core(*where), timeout)
        return answer if return_debug_tuple else answer[0]

    async def lookup_transform_async(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Return ``target_from_source`` at `time` as soon as it is known."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future that is done when the transform is known."""
        future = Future()

        def look() -> None:
            if future.done() or not self.can_transform_core(target_frame, source_frame, time)[0]:
                return
            future.set_result(self.lookup_transform_core(target_frame, source_frame, time))

        with self._waiting_lock:
            self._waiting.append(look)
        future.add_done_callback(lambda _: self._forget(look))
        look()
        return future

    def _wait(
        self, attempt: Callable[[], tuple[bool, str]], timeout: Duration
    ) -> tuple[bool, str]:
        answer = attempt()
        if not answer[0] and timeout.nanoseconds > 0:
            with self._changed:
                self._changed.wait_for(lambda: attempt()[0], timeout.nanoseconds / 1e9)
            answer = attempt()
        return answer

    def _tell_waiting(self) -> None:
        with self._waiting_lock:
            waiting = list(self._waiting)
        for look in waiting:
            look()

    def _forget(self, look: Callable[[], None]) -> None:
        with self._waiting_lock:
            if look in self._waiting:
                self._waiting.remove(look)

    def _answer_frames(self, _: Any, response: Any) -> Any:
        response.frame_yaml = self.all_frames_as_yaml()
        return response
