# SPDX-License-Identifier: Apache-2.0
"""Dense inverse search (Kroeger et al. 2016) from OpenCV, with forward-backward consistency."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.consistency import round_trip_confidence

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
        # another one for the way back, as each keeps its buffers of one size
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
        return round_trip_confidence(
            self._there, source, target, displacement, self._max_inconsistency
        )

    def _there(
        self,
        source: UInt8[np.ndarray, 'height width'],
        target: UInt8[np.ndarray, 'height width'],
    ) -> Float[np.ndarray, 'height width 2']:
        return self._back.calc(source, target, None)
