# SPDX-License-Identifier: Apache-2.0
"""From sensor_msgs/CameraInfo to a CameraModel, refusing to guess."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

from flowcam_ros.errors import CameraError
from flowcam_ros.geometry.camera import CameraModel

_LOG = logging.getLogger(__name__)


def camera_from_info(
    info: Any, width: int, height: int, *, rectified: bool = False
) -> CameraModel:
    """Return the intrinsics of an image of ``width`` x ``height`` pixels from its CameraInfo.

    A region of interest and binning are applied. An image that is an exact multiple (or fraction)
    of the calibrated size gets scaled intrinsics.

    Args:
        info: sensor_msgs/CameraInfo or anything with its fields.
        width: width of the image the intrinsics are wanted for, pixels.
        height: height of that image, pixels.
        rectified: the image was rectified, so that P holds instead of K and D.

    Raises:
        CameraError: the camera is not calibrated, holds NaN, has an unsupported distortion model
            or a wrong number of coefficients, or its size does not fit the image.
    """
    try:
        camera = _full_camera(info, rectified)
        camera = _binned(_cropped(camera, info.roi), info.binning_x or 1, info.binning_y or 1)
    except (AttributeError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise CameraError(f'not a sensor_msgs/CameraInfo ({error})') from error
    return fit_camera(camera, width, height)


def baseline_from_info(info: Any) -> float:
    """Return the distance of the right camera of a rectified pair from the left one, metres.

    Raises:
        CameraError: P does not hold one.
    """
    matrix = _numbers(info.p, 12, 'P')
    if not matrix[0] > 0 or not -matrix[3] / matrix[0] > 0:
        raise CameraError(
            'the right camera has no baseline (P[3] must be -fx times the baseline): '
            'calibrate the pair and use its rectified images'
        )
    return -matrix[3] / matrix[0]


def fit_camera(camera: CameraModel, width: int, height: int) -> CameraModel:
    """Return the intrinsics for an image that is an exact multiple or fraction of their size.

    Raises:
        CameraError: it is neither.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    if not _is_multiple((width, height), (camera.width, camera.height)):
        raise CameraError(
            f'calibrated for {camera.width}x{camera.height} pixels, but the image has '
            f'{width}x{height}, which is no exact multiple: calibrate at this size'
        )
    _LOG.info('intrinsics scaled from %dx%d to %dx%d', camera.width, camera.height, width, height)
    return camera.resized(width, height)


def _is_multiple(size: tuple[int, int], other: tuple[int, int]) -> bool:
    larger, smaller = (size, other) if size[0] >= other[0] else (other, size)
    factor = larger[0] // max(smaller[0], 1)
    return larger == (smaller[0] * factor, smaller[1] * factor)


def _full_camera(info: Any, rectified: bool) -> CameraModel:
    """Return the camera at full resolution, before region of interest and binning."""
    model, distortion = 'none', tuple[float, ...]()
    if rectified:
        p = _numbers(info.p, 12, 'P')
        values, name = (p[0], p[5], p[2], p[6]), 'P'
    else:
        k = _numbers(info.k, 9, 'K')
        values, name = (k[0], k[4], k[2], k[5]), 'K'
        if abs(k[1]) > 1e-6 * abs(k[0]):
            raise CameraError('K has a skew (K[1]), which is not supported')
        model, distortion = _distortion(info)
    if values[0] == 0:
        raise CameraError(
            f'the camera is not calibrated ({name} is zero): calibrate it, '
            'or give its intrinsics with --camera FILE'
        )
    return CameraModel(int(info.width), int(info.height), *values, model, distortion)


def _distortion(info: Any) -> tuple[str, tuple[float, ...]]:
    distortion = _numbers(info.d, None, 'D')
    if not any(distortion):
        return 'none', ()
    if not info.distortion_model:
        raise CameraError('D has coefficients but distortion_model is empty')
    return str(info.distortion_model), distortion


def _numbers(values: Iterable[Any], count: int | None, name: str) -> tuple[float, ...]:
    numbers = tuple(float(v) for v in values)
    if count is not None and len(numbers) != count:
        raise CameraError(f'{name} has {len(numbers)} numbers instead of {count}')
    return numbers


def _cropped(camera: CameraModel, roi: Any) -> CameraModel:
    """Return the intrinsics of the region of interest; all zeros means the whole image."""
    if roi.width == 0 and roi.height == 0:
        return camera
    inside = (
        min(roi.x_offset, roi.y_offset) >= 0
        and 0 < roi.width <= camera.width - roi.x_offset
        and 0 < roi.height <= camera.height - roi.y_offset
    )
    if not inside:
        raise CameraError(
            f'region of interest {roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset}) '
            f'is not inside the {camera.width}x{camera.height} image'
        )
    return dataclasses.replace(
        camera,
        width=int(roi.width),
        height=int(roi.height),
        cx=camera.cx - roi.x_offset,
        cy=camera.cy - roi.y_offset,
    )


def _binned(camera: CameraModel, binning_x: int, binning_y: int) -> CameraModel:
    if binning_x < 1 or binning_y < 1:
        raise CameraError(f'binning {binning_x}x{binning_y} is not positive')
    if (binning_x, binning_y) == (1, 1):
        return camera
    # Not resized(): what is left over at the right and lower rim is cut off, not squeezed in.
    return dataclasses.replace(
        camera,
        width=camera.width // int(binning_x),
        height=camera.height // int(binning_y),
        fx=camera.fx / binning_x,
        fy=camera.fy / binning_y,
        cx=(camera.cx + 0.5) / binning_x - 0.5,
        cy=(camera.cy + 0.5) / binning_y - 0.5,
    )
