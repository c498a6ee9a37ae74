# SPDX-License-Identifier: Apache-2.0
"""How far the picture moves from frame to frame, seen at a small size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.dis import DisFlow
from flowcam_ros.correspondence.points import texture_map
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer
from flowcam_ros.geometry.sharpness import sharpness

# Blur of a few pixels must be seen, flow need not be exact: so they work on different sizes.
_SHARPNESS_PIXELS = 307_200
_FLOW_WIDTH = 320
# Largest distance after the way there and back for flow to be believed, pixels of the small size.
_MAX_INCONSISTENCY = 1.5
# Where less of the picture can be followed, there is no telling how far it moved.
_MIN_FOLLOWED = 0.6


@dataclass(frozen=True)
class Look:
    """What is remembered of a frame to measure motion from it.

    Attributes:
        small: (height, width) uint8, light evened out.
        usable: where it shows the world; None means everywhere.
        sharpness: see ``geometry/sharpness.py``.
        textured: share of the picture with texture beyond noise.
    """

    small: UInt8[np.ndarray, 'height width']
    usable: Bool[np.ndarray, 'height width'] | None
    sharpness: float
    textured: float


class MotionMeter:
    """Looks at frames and measures the motion between two of them."""

    def __init__(self) -> None:
        self._preparer = FramePreparer(_SHARPNESS_PIXELS)
        self._flow = DisFlow(FlowConfig(preset='fast', max_inconsistency=_MAX_INCONSISTENCY))

    def look(self, frame: Frame) -> Look:
        """Return what is remembered of a frame.

        Raises:
            FrameRejected: the picture is too small, or has not the size of its camera.
        """
        prepared = self._preparer.prepare(frame)
        height, width = prepared.grey.shape
        shrink = min(1.0, _FLOW_WIDTH / max(width, height))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        small = cv2.resize(prepared.even.broad, size, interpolation=cv2.INTER_AREA)
        usable, share = None, 1.0
        if prepared.usable is not None:
            mask = prepared.usable.astype(np.uint8)
            usable = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0
            share = max(float(prepared.usable.mean()), 1e-6)
        textured = float((texture_map(prepared.grey) > 0).mean()) / share
        return Look(small, usable, sharpness(prepared.grey), textured)

    def step(self, source: Look, target: Look) -> float:
        """Return the median motion of the picture, in parts of its width.

        Infinity where too little of it can be followed to tell.
        """
        displacement = self._flow.displacement(source.small, target.small)
        followed = self._flow.confidence(source.small, target.small, displacement) > 0
        if source.usable is not None:
            # both masks: what the lens or the mask hides stays in place and follows nothing
            usable = source.usable if target.usable is None else source.usable & target.usable
            displacement, followed = displacement[usable], followed[usable]
        if not followed.any() or followed.mean() < _MIN_FOLLOWED:
            return float('inf')
        length = np.linalg.norm(displacement[followed], axis=-1)
        return float(np.median(length)) / source.small.shape[1]
