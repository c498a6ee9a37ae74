# SPDX-License-Identifier: Apache-2.0
"""Lens distortion of normalised image points, both ways, for every supported model.

A normalised point is (x / z, y / z) of a point in camera axes. OpenCV does the arithmetic, so a
calibration made with OpenCV or ROS means here what it means there.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from flowcam_ros.geometry.camera import CameraModel

_NO_ROTATION = np.zeros(3)
_UNIT_CAMERA = np.eye(3)
# Largest distance, in normalised units, between a point and the image of its inverse for the
# inverse to count as found: far below a thousandth of a pixel of any real camera.
_INVERSE_TOLERANCE = 1e-7
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12)


def distort(camera: CameraModel, points: Float[np.ndarray, '*n 2']) -> Float[np.ndarray, '*n 2']:
    """Return where the lens puts ideal normalised points; float64."""
    points = np.asarray(points, np.float64)
    if not camera.is_distorted or points.size == 0:
        return points.copy()
    flat = points.reshape(-1, 1, 2)
    coefficients = np.array(camera.distortion)
    if camera.distortion_model == 'equidistant':
        bent = cv2.fisheye.distortPoints(flat, _UNIT_CAMERA, coefficients)
    else:
        solid = np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1)
        bent, _ = cv2.projectPoints(solid, _NO_ROTATION, _NO_ROTATION, _UNIT_CAMERA, coefficients)
    return bent.reshape(points.shape)


def undistort(camera: CameraModel, points: Float[np.ndarray, '*n 2']) -> Float[np.ndarray, '*n 2']:
    """Return the ideal points of distorted normalised points; the inverse of :func:`distort`.

    float64; NaN where the model has no inverse (beyond the rim of the lens).
    """
    points = np.asarray(points, np.float64)
    if not camera.is_distorted or points.size == 0:
        return points.copy()
    flat = points.reshape(-1, 1, 2)
    coefficients = np.array(camera.distortion)
    if camera.distortion_model == 'equidistant':
        ideal = cv2.fisheye.undistortPoints(flat, _UNIT_CAMERA, coefficients, criteria=_STOP)
    else:
        # undistortPointsIter stops when it is done; undistortPoints always after five steps.
        ideal = cv2.undistortPointsIter(
            flat, _UNIT_CAMERA, coefficients, _UNIT_CAMERA, _UNIT_CAMERA, _STOP
        )
    ideal = ideal.reshape(points.shape)
    error = np.linalg.norm(distort(camera, ideal) - points, axis=-1)
    found = error <= _INVERSE_TOLERANCE * (1.0 + np.linalg.norm(points, axis=-1))
    ideal[~found] = np.nan
    return ideal


def project(camera: CameraModel, points: Float[np.ndarray, '*n 3']) -> Float[np.ndarray, '*n 2']:
    """Return the pixels of points in camera axes; meaningless where z <= 0 (test it first)."""
    points = np.asarray(points, np.float64)
    with np.errstate(divide='ignore', invalid='ignore'):
        ideal = points[..., :2] / points[..., 2:]
    return distort(camera, ideal) * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def pixel_rays(camera: CameraModel) -> Float[np.ndarray, 'height width 2']:
    """Return the ideal normalised point (x, y) that each pixel sees; the ray is (x, y, 1).

    float64; NaN where the lens model has no inverse.
    """
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return undistort(camera, np.stack(np.meshgrid(x, y), axis=-1))
