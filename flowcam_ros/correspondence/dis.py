# SPDX-License-Identifier: Apache-2.0
"""Dense inverse search (Kroeger et al. 2016) from OpenCV, with forward-backward consistency."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.correspondence.config import FlowConfig

_PRESETS = {
    'ultrafast': cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    'fast': cv2.DISOPTICAL_FLOW_PRESET_FAST,
    'medium': cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class DisFlow:
    """OpenCV's DIS behind the FlowEstimator protocol."""

    def __init__(self, config: FlowConfig) -> None:
        # Any: OpenCV's types do not know that a flow to start from may be missing
        self._dis: Any = cv2.DISOpticalFlow.create(_PRESETS[config.preset])
        # the way back only has to tell right from wrong; half the size costs a quarter
        self._back: Any = cv2.DISOpticalFlow.create(_PRESETS[config.preset])
        self._max_inconsistency = config.max_inconsistency

    def displacement(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        start: Float[np.ndarray, 'height width 2'] | None = None,
    ) -> Float[np.ndarray, 'height width 2']:
        """See FlowEstimator."""
        first = None if start is None else start.astype(np.float32, copy=True)
        return self._dis.calc(source, target, first)

    def confidence(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        displacement: Float[np.ndarray, 'height width 2'],
    ) -> Float[np.ndarray, 'height width']:
        """See FlowEstimator; falls from 1 to 0 as the way there and back fails to close."""
        error = self._inconsistency(source, target, displacement)
        confidence = 1.0 - error / np.float32(self._max_inconsistency)
        return np.maximum(confidence, 0.0, out=confidence)

    def _inconsistency(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
        displacement: Float[np.ndarray, 'height width 2'],
    ) -> Float[np.ndarray, 'height width']:
        """Return how far each pixel lands from itself after going there and back, in pixels."""
        height, width = source.shape
        half = ((width + 1) // 2, (height + 1) // 2)
        scale = np.array([half[0] / width, half[1] / height], np.float32)
        small = [cv2.resize(i, half, interpolation=cv2.INTER_AREA) for i in (target, source)]
        back = self._back.calc(small[0], small[1], None)
        forward = cv2.resize(displacement, half, interpolation=cv2.INTER_AREA) * scale
        x, y = np.meshgrid(
            np.arange(half[0], dtype=np.float32), np.arange(half[1], dtype=np.float32)
        )
        returned = cv2.remap(
            back,
            x + forward[..., 0],
            y + forward[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(1e4, 1e4),
        )
        gap = (forward + returned) / scale
        error = cv2.magnitude(gap[..., 0], gap[..., 1])
        return cv2.resize(error, (width, height), interpolation=cv2.INTER_LINEAR)
