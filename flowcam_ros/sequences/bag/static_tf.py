# SPDX-License-Identifier: Apache-2.0
"""The fixed transforms of a bag: ``/tf_static``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry import se3
from flowcam_ros.sequences.bag.messages import TF, deserialize
from flowcam_ros.sequences.bag.raw import MessageSource
from flowcam_ros.sequences.losses import LossLog

_TOPIC = '/tf_static'


class StaticTransforms:
    """A tree of fixed transforms by frame names."""

    def __init__(self, source: MessageSource) -> None:
        self._parents: dict[str, tuple[str, np.ndarray]] = {}
        if not any(topic.name == _TOPIC and topic.type == TF for topic in source.topics()):
            return
        for raw in source.messages({_TOPIC}, LossLog()):
            try:
                transforms = deserialize(raw).transforms
            except FrameRejected:
                continue
            for stamped in transforms:
                self._add(stamped)

    def lookup(self, target: str, source: str) -> Float[np.ndarray, '4 4'] | None:
        """Return ``target_from_source``; None if the tree does not connect the two frames."""
        if target == source:
            return np.eye(4)
        to_target, to_source = self._ancestors(target), self._ancestors(source)
        for frame, frame_from_source in to_source.items():
            if frame in to_target:
                return se3.inverse(to_target[frame]) @ frame_from_source
        return None

    def _add(self, stamped: Any) -> None:
        t, q = stamped.transform.translation, stamped.transform.rotation
        translation = np.array([t.x, t.y, t.z])
        quaternion = np.array([q.x, q.y, q.z, q.w])
        if np.isfinite(translation).all() and 0.9 < math.hypot(*quaternion) < 1.1:
            parent, child = _plain(stamped.header.frame_id), _plain(stamped.child_frame_id)
            self._parents[child] = (parent, se3.from_quaternion(translation, quaternion))

    def _ancestors(self, frame: str) -> dict[str, Float[np.ndarray, '4 4']]:
        """Return ``ancestor_from_frame`` for the frame and every ancestor, nearest first."""
        frame, transform = _plain(frame), np.eye(4)
        found = {frame: transform}
        while frame in self._parents:
            frame, parent_from_frame = self._parents[frame]
            if frame in found:
                break
            transform = parent_from_frame @ transform
            found[frame] = transform
        return found


def _plain(frame: str) -> str:
    return frame.removeprefix('/')
