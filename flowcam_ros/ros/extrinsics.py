# SPDX-License-Identifier: Apache-2.0
"""Where sensors sit on the robot, from TF; never guessed."""

from __future__ import annotations

import numpy as np
import yaml
from jaxtyping import Float
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from flowcam_ros.geometry import se3
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import transform_from_msg

_MAX_LISTED = 20


class TransformMissing(Exception):
    """A transform is not known; the message names both frames and the frames that are."""


class Extrinsics:
    """Looks transforms up; static ones once.

    The listener is closed when all that is needed is known, because hearing the /tf of a whole
    robot costs a Python node more than odometry's own input.

    Args:
        node: the node to listen with.
        config: base_frame, tf_is_dynamic and wait_for_transform.
        buffer: where transforms are kept; an own one if None.
    """

    def __init__(
        self, node: Node, config: OdometryNodeConfig, buffer: Buffer | None = None
    ) -> None:
        self._node, self._config = node, config
        # Without a node: the buffer's own reaction to a time jump is not in every release.
        self._buffer = buffer or Buffer()
        self._listener: TransformListener | None = None
        self._known: dict[tuple[str, str], Matrix4] = {}
        self._wanted = config.base_frame != ''
        self._last_dynamic: tuple[int, Matrix4] | None = None
        self.tidy()

    def tidy(self) -> None:
        """Open or close the listener as needed; call now and then from the executor."""
        if self._wanted and self._listener is None:
            self._listener = TransformListener(self._buffer, self._node)
        elif not self._wanted and self._listener is not None:
            self.close()

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None

    def clear(self) -> None:
        """Forget moving transforms; call when time went back."""
        self._buffer.clear()
        self._last_dynamic = None

    def base_from_camera(self, camera_frame: str, stamp_ns: int) -> Matrix4 | None:
        """Return the camera's pose in the base frame; None when the camera itself is the base.

        Raises:
            TransformMissing: TF does not know it.
        """
        base = self._config.base_frame
        if not base:
            return None
        return self.lookup(base, camera_frame, stamp_ns)

    def camera_in_base_twist(
        self, base_from_camera: Matrix4 | None, stamp_ns: int
    ) -> Float[np.ndarray, '6'] | None:
        """Return the camera's velocity within the base, in camera axes; None if it is fixed."""
        if base_from_camera is None or not self._config.tf_is_dynamic:
            return None
        last, self._last_dynamic = self._last_dynamic, (stamp_ns, base_from_camera)
        if last is None or stamp_ns <= last[0]:
            return np.zeros(6)
        step = se3.log(se3.inverse(last[1]) @ base_from_camera)
        return step / ((stamp_ns - last[0]) * 1e-9)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Matrix4:
        """Return ``target_from_source``; waits as long as wait_for_transform for it.

        Raises:
            TransformMissing: TF does not know it.
        """
        if target == source:
            return np.eye(4)
        known = self._known.get((target, source))
        if known is not None:
            return known
        self._wanted = True
        dynamic = self._config.tf_is_dynamic
        try:
            message = self._buffer.lookup_transform(
                target,
                source,
                Time(nanoseconds=stamp_ns) if dynamic else Time(),
                Duration(seconds=self._config.wait_for_transform),
            )
            transform = transform_from_msg(message)
        except (TransformException, ValueError) as error:
            raise TransformMissing(self._explain(target, source, str(error))) from error
        if not dynamic:
            self._known[target, source] = transform
            self._wanted = False
        return transform

    def _explain(self, target: str, source: str, error: str) -> str:
        frames = self._frames()
        listed = ', '.join(frames[:_MAX_LISTED]) + (', ...' if len(frames) > _MAX_LISTED else '')
        known = f'frames known: {listed}' if frames else 'no frames are known'
        absent = [frame for frame in (target, source) if frame not in frames]
        if absent:
            cause = f'TF has no frame {" and no frame ".join(map(repr, absent))}'
        else:
            cause = ' '.join(error.split())
        return (
            f'no transform from camera frame {source!r} to {target!r}: {cause}; {known}. '
            'Publish it (robot_state_publisher or static_transform_publisher), correct the frame '
            'names, or set base_frame to an empty string to report the camera itself'
        )

    def _frames(self) -> list[str]:
        tree = yaml.safe_load(self._buffer.all_frames_as_yaml()) or {}
        if not isinstance(tree, dict):
            return []
        parents = {str(edge['parent']) for edge in tree.values() if 'parent' in edge}
        return sorted({*map(str, tree), *parents} - {'NO_PARENT'})
