# SPDX-License-Identifier: Apache-2.0
"""How far a focal length is from the true one."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.errors import EvaluationError
from flowcam_ros.geometry.camera import CameraModel

# Sizes are rounded to whole pixels: so much may the shapes of two sizes of one picture differ.
_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class FocalError:
    """Focal lengths, the mean of fx and fy, in pixels of the estimate's pictures.

    Attributes:
        estimate_px: as found.
        truth_px: as calibrated, for pictures of that size.
        error_percent: of the truth; negative when the estimate is too short.
    """

    estimate_px: float
    truth_px: float
    error_percent: float


def focal_error(estimate: CameraModel, truth: CameraModel) -> FocalError:
    """Return how far the focal length is off.

    Raises:
        EvaluationError: one picture is not the other at another size.
    """
    shape = estimate.width / estimate.height * truth.height / truth.width
    if abs(shape - 1.0) > _SAME_SHAPE:
        raise EvaluationError(
            f'the camera found is for pictures of {estimate.width}x{estimate.height} pixels, the '
            f'true one for {truth.width}x{truth.height}: not one picture at two sizes'
        )
    at_size = truth.resized(estimate.width, estimate.height)
    found, true = (estimate.fx + estimate.fy) / 2, (at_size.fx + at_size.fy) / 2
    return FocalError(found, true, 100.0 * (found - true) / true)
