# SPDX-License-Identifier: Apache-2.0
"""The tree of frames, in messages and between threads."""

from __future__ import annotations

import math
import threading

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time
from tf2_ros.exceptions import TransformException
from tf2_ros.frame_tree import FrameTree
from tf2_ros.messages import message_from, nanoseconds, rigid_from
from tf2_ros.rigid import Rigid, compose
from tf2_ros.time_cache import Link, seconds

DEFAULT_CACHE_TIME = Duration(seconds=10)
QUATERNION_TOLERANCE = 10e-3


class BufferCore:
    """Keeps the recent transforms between frames and composes them."""

    def __init__(self, cache_time: Duration = DEFAULT_CACHE_TIME) -> None:
        self._tree = FrameTree(cache_time.nanoseconds)
        self._changed = threading.Condition(threading.RLock())

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take over a transform; an invalid or too old one is logged and ignored."""
        self._insert(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take over a transform that holds at every time."""
        self._insert(transform, authority, static=True)

    def clear(self) -> None:
        """Forget moving transforms; static ones and the names of the frames stay, as in tf2."""
        with self._changed:
            self._tree.clear()

    def lookup_transform_core(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Return ``target_from_source`` at `time`; at zero the latest common time.

        Raises:
            InvalidArgumentException: a frame name is empty or begins with a slash.
            LookupException: a frame is not known.
            ConnectivityException: no chain of transforms connects the frames.
            ExtrapolationException: the chain is not known at `time`.
        """
        with self._changed:
            stamp, found = self._tree.lookup(target_frame, source_frame, nanoseconds(time))
        return message_from(found, stamp, target_frame, source_frame)

    def lookup_transform_full_core(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> TransformStamped:
        """Return ``target_from_source`` between two times, by way of a frame that stays."""
        with self._changed:
            self._tree.validate(
                target_frame=target_frame, source_frame=source_frame, fixed_frame=fixed_frame
            )
            _, fixed_from_source = self._tree.lookup(
                fixed_frame, source_frame, nanoseconds(source_time)
            )
            stamp, target_from_fixed = self._tree.lookup(
                target_frame, fixed_frame, nanoseconds(target_time)
            )
        found = compose(target_from_fixed, fixed_from_source)
        return message_from(found, stamp, target_frame, source_frame)

    def can_transform_core(
        self, target_frame: str, source_frame: str, time: Time
    ) -> tuple[bool, str]:
        """Return whether the look-up would succeed, and the reason if not."""
        if target_frame == source_frame:
            return True, ''
        with self._changed:
            problem = self._problem(target_frame=target_frame, source_frame=source_frame)
            if problem:
                return False, problem
            try:
                self._tree.lookup(target_frame, source_frame, nanoseconds(time))
            except TransformException as error:
                return False, str(error)
        return True, ''

    def can_transform_full_core(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> tuple[bool, str]:
        """Return whether the look-up between two times would succeed, and the reason if not."""
        with self._changed:
            problem = self._problem(
                target_frame=target_frame, source_frame=source_frame, fixed_frame=fixed_frame
            )
            if problem:
                return False, problem
            answer = self.can_transform_core(target_frame, fixed_frame, target_time)
            if answer[0]:
                answer = self.can_transform_core(fixed_frame, source_frame, source_time)
            return answer

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which the chain is known; zero if it is static.

        Raises:
            LookupException: a frame is not known.
            ConnectivityException: no chain of transforms connects the frames.
        """
        with self._changed:
            self._tree.validate(target_frame=target_frame, source_frame=source_frame)
            return Time(nanoseconds=self._tree.latest_common_time(target_frame, source_frame))

    def all_frames_as_string(self) -> str:
        """Return a line for each frame that has a parent."""
        with self._changed:
            return self._tree.as_string()

    def all_frames_as_yaml(self) -> str:
        """Return the parent, sender, rate and time span of each frame as YAML."""
        with self._changed:
            return self._tree.as_yaml()

    def _frameExists(self, frame_id: str) -> bool:
        """Return whether the frame was ever named."""
        return frame_id in self._getFrameStrings()

    def _getFrameStrings(self) -> list[str]:
        """Return the names of all frames."""
        with self._changed:
            return self._tree.names()

    def _insert(self, transform: TransformStamped, authority: str, static: bool) -> None:
        parent = transform.header.frame_id.removeprefix('/')
        child = transform.child_frame_id.removeprefix('/')
        found = rigid_from(transform)
        problem = _refusal(parent, child, found)
        if problem:
            get_logger('tf2').error(f'{problem} (authority "{authority}")')
            return
        link = Link(nanoseconds(transform.header.stamp), parent, found)
        with self._changed:
            inserted = self._tree.insert(child, link, authority, static)
            self._changed.notify_all()
        if not inserted:
            get_logger('tf2').warning(
                f'TF_OLD_DATA ignoring data from the past for frame {child} at time '
                f'{seconds(link.stamp)} according to authority {authority}'
            )

    def _problem(self, **frames: str) -> str | None:
        for role, frame in frames.items():
            problem = self._tree.problem(frame)
            if problem:
                return (
                    f'Invalid frame ID "{frame}" passed to canTransform argument {role} - '
                    f'{problem}'
                )
        return None


def _refusal(parent: str, child: str, transform: Rigid) -> str | None:
    """Return why a transform cannot be taken over; None if it can."""
    if parent == child:
        return f'TF_SELF_TRANSFORM: Ignoring transform with frame_id and child_frame_id "{child}"'
    if not child:
        return 'TF_NO_CHILD_FRAME_ID: Ignoring transform because child_frame_id not set'
    if not parent:
        return f'TF_NO_FRAME_ID: Ignoring transform of "{child}" because frame_id not set'
    values = (*transform.translation, *transform.rotation)
    if any(math.isnan(value) for value in values):
        return f'TF_NAN_INPUT: Ignoring transform of "{child}" because of a nan value {values}'
    if not abs(sum(value * value for value in transform.rotation) - 1) < QUATERNION_TOLERANCE:
        return (
            f'TF_DENORMALIZED_QUATERNION: Ignoring transform of "{child}" because of an invalid '
            f'quaternion {transform.rotation}'
        )
    return None
