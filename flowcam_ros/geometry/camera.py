# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera with lens distortion.

Pixel centres are at integer coordinates: the centre of the top-left pixel is (0, 0).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcam_ros.errors import CameraError

# Number of coefficients each distortion model takes, as sensor_msgs/CameraInfo defines them.
DISTORTION_LENGTHS: dict[str, tuple[int, ...]] = {
    'none': (0,),
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),
    'equidistant': (4,),
}


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of one camera, in pixels of the image they travel with.

    ``distortion_model`` and the order of ``distortion`` are those of sensor_msgs/CameraInfo
    (OpenCV's order: k1 k2 p1 p2 k3 ... for plumb_bob and rational_polynomial; k1..k4 for
    equidistant). All-zero coefficients are turned into the model ``none``.

    Raises:
        CameraError: a size or focal length is not positive and finite, the model is unknown, or
            the number of coefficients does not fit it.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = 'none'
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(f'image size {self.width}x{self.height} is not positive')
        if not all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy, *self.distortion))):
            raise CameraError('intrinsics or distortion hold NaN or infinity')
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f'focal length ({self.fx:g}, {self.fy:g}) is not positive: camera not calibrated'
            )
        self._check_plausible()
        lengths = DISTORTION_LENGTHS.get(self.distortion_model)
        if lengths is None:
            raise CameraError(
                f'distortion model {self.distortion_model!r} is not supported; '
                f'known: {", ".join(DISTORTION_LENGTHS)}'
            )
        if not any(self.distortion):
            object.__setattr__(self, 'distortion_model', 'none')
            object.__setattr__(self, 'distortion', ())
        elif len(self.distortion) not in lengths:
            raise CameraError(
                f'{self.distortion_model} takes {" or ".join(map(str, lengths))} coefficients, '
                f'got {len(self.distortion)}'
            )

    def _check_plausible(self) -> None:
        """Refuse what no lens has, before it overflows somewhere."""
        axes = (('x', self.width, self.fx, self.cx), ('y', self.height, self.fy, self.cy))
        for name, size, focal, centre in axes:
            if not 0.01 < focal / size < 1000.0 or not abs(centre) < 100.0 * size:
                raise CameraError(
                    f'f{name} {focal:g} and c{name} {centre:g} pixels are no lens for {size} '
                    'pixels of image; is the calibration that of this image?'
                )

    @property
    def matrix(self) -> Float[np.ndarray, '3 3']:
        """The 3x3 intrinsic matrix K, float64."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines bend in this camera's images."""
        return self.distortion_model != 'none'

    def without_distortion(self) -> CameraModel:
        """Return the same pinhole with no lens distortion."""
        return dataclasses.replace(self, distortion_model='none', distortion=())

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the intrinsics of the image resized to ``width`` x ``height`` pixels.

        With pixel centres at integers, x' = (x + 0.5) s - 0.5.
        """
        sx, sy = width / self.width, height / self.height
        return dataclasses.replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )
