# SPDX-License-Identifier: Apache-2.0
"""From corrections of the working camera to the camera of the recording's own pictures.

The refinement works on pictures undistorted by the start calibration. What it finds about them,
another focal length, principal point and two radial terms, is put together here with that start
calibration to one camera of the same family of lens models.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from flowcam_ros.errors import CameraError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import distort, undistort

# Pixels in each direction at which the fitted camera is held against what it stands for.
_GRID = (32, 24)
# Numerator and denominator of a rational lens may grow together without end and change nothing:
# so much, pixels, a change of a coefficient by 1 must be worth.
_WORTH_PX = 0.01
# Where there are more coefficients, these tell how the sensor is tilted, which stays.
_MOST_FITTED = 12

Pixels = Float[np.ndarray, 'n 2']


@dataclass(frozen=True)
class CameraCorrection:
    """What was found about the working camera; the default changes nothing.

    A point at the normalised coordinates x of the working picture's pinhole lies at the pixel
    ``focal_scale * (fx, fy) * x * (1 + k1 r^2 + k2 r^4) + (cx, cy) + (shift_x, shift_y)``.

    Attributes:
        focal_scale: factor on both focal lengths of the working camera.
        shift_x: of the principal point to the right, pixels of the working picture.
        shift_y: downwards.
        k1: radial distortion left over, with r^2.
        k2: with r^4.
    """

    focal_scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    k1: float = 0.0
    k2: float = 0.0


@dataclass(frozen=True)
class RefinedCamera:
    """The camera of the original pictures after the correction.

    Attributes:
        camera: of the size of the original, and of its lens model (plumb_bob if it had none).
        worst_px: largest distance, over the picture, between where this camera puts a point and
            where original and correction together put it; pixels of the original.
    """

    camera: CameraModel
    worst_px: float


def corrected_working(working: CameraModel, correction: CameraCorrection) -> CameraModel:
    """Return the camera of the working picture: refined pinhole and what distortion was left.

    Args:
        working: the undistorted camera of the pictures that were worked on.
        correction: of it, in its pixels.

    Raises:
        CameraError: the corrected camera is none.
    """
    radial = (correction.k1, correction.k2, 0.0, 0.0)
    return dataclasses.replace(
        working,
        fx=working.fx * correction.focal_scale,
        fy=working.fy * correction.focal_scale,
        cx=working.cx + correction.shift_x,
        cy=working.cy + correction.shift_y,
        distortion_model='plumb_bob' if any(radial) else 'none',
        distortion=radial if any(radial) else (),
    )


def distort_pixels(original: CameraModel, working: CameraModel, pixels: Pixels) -> Pixels:
    """Return where pixels of the working picture lie in the original one.

    That is what the undistortion did, the other way; no correction takes part in it.

    Args:
        original: camera of the recording's own pictures.
        working: the undistorted camera, of any size, made from it by the start calibration.
        pixels: (n, 2) positions (x, y) in the working picture.
    """
    ideal = (np.asarray(pixels, np.float64) - (working.cx, working.cy)) / (working.fx, working.fy)
    return distort(original, ideal) * (original.fx, original.fy) + (original.cx, original.cy)


def refined_camera(
    original: CameraModel, working: CameraModel, correction: CameraCorrection
) -> RefinedCamera:
    """Return the camera of the original pictures that does what original and correction do.

    Exact for a camera without distortion and where nothing is corrected; else the least-squares
    fit of the same lens model over the picture.

    Raises:
        CameraError: the corrected camera is none, or sees nothing of the picture.
    """
    if correction == CameraCorrection():
        return RefinedCamera(original, 0.0)
    refined = corrected_working(working, correction)
    if not original.is_distorted:
        return RefinedCamera(_resized_like(refined, original), 0.0)
    points, pixels = _samples(original, working, refined)
    start = _start(original, refined)
    count = _fitted_count(original)

    def residuals(values: Float[np.ndarray, ' k']) -> Float[np.ndarray, ' m']:
        off = (_projected(start, values, points, count) - pixels).ravel()
        return np.concatenate([off, _WORTH_PX * (values - first)])

    first = np.array([1.0, 1.0, 0.0, 0.0, *_coefficients(start, count)])
    fit = least_squares(residuals, first, method='lm', x_scale=_scales(count), max_nfev=600)
    camera = _with(start, fit.x, count)
    error = np.linalg.norm(_projected(start, fit.x, points, count) - pixels, axis=1)
    return RefinedCamera(camera, float(error.max()))


def _fitted_count(original: CameraModel) -> int:
    if original.distortion_model == 'plumb_bob':
        return 5
    return min(len(original.distortion), _MOST_FITTED)


def _resized_like(refined: CameraModel, original: CameraModel) -> CameraModel:
    return refined.resized(original.width, original.height)


def _start(original: CameraModel, refined: CameraModel) -> CameraModel:
    """Return the original camera with the refined pinhole."""
    pinhole = refined.without_distortion().resized(original.width, original.height)
    return dataclasses.replace(
        pinhole, distortion_model=original.distortion_model, distortion=original.distortion
    )


def _samples(
    original: CameraModel, working: CameraModel, refined: CameraModel
) -> tuple[Pixels, Pixels]:
    """Return ideal normalised points all over the picture and their pixels in the original."""
    x = np.linspace(0, original.width - 1, _GRID[0])
    y = np.linspace(0, original.height - 1, _GRID[1])
    pixels = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    bent = (pixels - (original.cx, original.cy)) / (original.fx, original.fy)
    ideal = undistort(original, bent) * (working.fx, working.fy) + (working.cx, working.cy)
    points = undistort(refined, (ideal - (refined.cx, refined.cy)) / (refined.fx, refined.fy))
    seen = np.isfinite(points).all(1)
    if np.count_nonzero(seen) < len(pixels) // 4:
        raise CameraError(
            'the refined distortion folds the picture over; refine without radial terms'
        )
    return points[seen], pixels[seen]


def _coefficients(camera: CameraModel, count: int) -> Float[np.ndarray, ' k']:
    values = np.zeros(count)
    given = camera.distortion[:count]
    values[: len(given)] = given
    return values


def _scales(count: int) -> Float[np.ndarray, ' k']:
    return np.array([1.0, 1.0, 10.0, 10.0, *[1.0] * count])


def _with(start: CameraModel, values: Float[np.ndarray, ' k'], count: int) -> CameraModel:
    return dataclasses.replace(
        start,
        fx=start.fx * float(values[0]),
        fy=start.fy * float(values[1]),
        cx=start.cx + float(values[2]),
        cy=start.cy + float(values[3]),
        distortion=(*map(float, values[4:]), *start.distortion[count:]),
    )


def _projected(
    start: CameraModel, values: Float[np.ndarray, ' k'], points: Pixels, count: int
) -> Pixels:
    # a step of the fit may lead to a lens that no camera has: that is far off, and no error
    with np.errstate(all='ignore'):
        try:
            camera = _with(start, values, count)
        except CameraError:
            return np.full(points.shape, 1e6)
        bent = distort(camera, points) * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return np.nan_to_num(bent, nan=1e6, posinf=1e6, neginf=-1e6)
