# SPDX-License-Identifier: Apache-2.0
"""What every depth source gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.geometry.camera import CameraModel


@dataclass(frozen=True)
class DepthEstimate:
    """Inverse depth of one image, with its uncertainty.

    Attributes:
        stamp_ns: stamp of the frame it belongs to.
        camera: undistorted intrinsics of exactly this array size.
        inverse_depth: (height, width) float32, 1/z in 1/metres (1/unit without a known scale);
            0 where unknown.
        variance: (height, width) float32, variance of ``inverse_depth``; infinite where unknown.
        image: the undistorted picture, grey or BGR, same size.
    """

    stamp_ns: int
    camera: CameraModel
    inverse_depth: Float[np.ndarray, 'height width']
    variance: Float[np.ndarray, 'height width']
    image: UInt8[np.ndarray, 'height width *channels']

    def depth(self) -> Float[np.ndarray, 'height width']:
        """Return z in metres (or units), float32, NaN where unknown."""
        known = self.inverse_depth > 0
        return np.divide(
            np.float32(1.0),
            self.inverse_depth,
            out=np.full(self.inverse_depth.shape, np.nan, np.float32),
            where=known,
        )
