# SPDX-License-Identifier: Apache-2.0
"""The panels of a diagnosis that show points on a picture."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.keyframe import Keyframe
from flowcam_ros.visualization.canvas import (
    GOOD_TO_BAD,
    VIRIDIS,
    Colour,
    Picture,
    Scale,
    bgr,
    cross,
    disc,
    empty_panel,
    panel,
    segment,
    subpixels,
    write,
)
from flowcam_ros.visualization.fitted_points import FittedPoints

Size = tuple[int, int]  # width and height of a panel's picture, pixels

_OUTLIER: Colour = bgr('#ff2bd6')
_UNMATCHED: Colour = bgr('#ff9f1c')
_OUT_OF_VIEW: Colour = bgr('#3fa7ff')
_EXPLAINED: Colour = bgr('#15b33c')
_MAX_RESIDUAL_PX = 2.0
# Residual arrows are magnified by one of these, so that the median is about as long as this.
_MAGNIFICATIONS = (1, 2, 5, 10, 20, 50, 100, 200)
_ARROW_PX = 12.0
_RADII = (1.2, 3.4)  # of a point without and with full weight


def frame_panel(diagnosis: Diagnosis, points: FittedPoints | None, size: Size) -> Picture:
    """Draw the frame with the matched points: colour residual, size weight, crosses outliers."""
    title = 'frame with the matched points (size: weight; cross: not explained)'
    scale = Scale('0', f'{_MAX_RESIDUAL_PX:.0f} px residual', GOOD_TO_BAD)
    picture = _photo(diagnosis.frame, size, 0.75)
    fit = diagnosis.alignment
    if points is None:
        if fit is None:
            return panel(picture, 'frame')
        for x, y in _places(fit.points.target.cpu().numpy(), diagnosis.frame, size).tolist():
            disc(picture, x, y, 1.6, _UNMATCHED)
        return panel(picture, 'frame with the matched points: no fit')
    places = _places(points.target, diagnosis.frame, size).tolist()
    colours = _levels(points.residual_px / _MAX_RESIDUAL_PX, GOOD_TO_BAD)
    low, high = _RADII
    radii = (low + (high - low) * points.weight).tolist()
    for (x, y), colour, radius, good in zip(
        places, colours, radii, points.explained.tolist(), strict=True
    ):
        if good:
            disc(picture, x, y, radius, colour)
        else:
            cross(picture, x, y, 3.0, _OUTLIER)
    return panel(picture, title, scale)


def keyframe_panel(diagnosis: Diagnosis, size: Size) -> Picture:
    """Draw the key frame's points by what became of them."""
    key, fit = diagnosis.keyframe, diagnosis.alignment
    if key is None or fit is None:
        return empty_panel(size[1], size[0], 'key frame', 'nothing to fit to')
    picture = _photo(key.frame, size, 0.6)
    places = _places(key.points.pixels, key.frame, size).tolist()
    for (x, y), colour in zip(places, _fates(key, fit), strict=True):
        disc(picture, x, y, 1.5, colour)
    framed = panel(picture, 'key frame')
    end = size[0] - 2
    for name, colour in (
        ('out of view', _OUT_OF_VIEW),
        ('not matched', _UNMATCHED),
        ('outlier', _OUTLIER),
        ('inlier', _EXPLAINED),
    ):
        end -= write(framed, name, (end, 18), 0.36, colour, right=True) + 8
    return framed


def residual_panel(diagnosis: Diagnosis, points: FittedPoints | None, size: Size) -> Picture:
    """Draw the residuals as magnified lines from the match to where the pose puts the point."""
    if points is None:
        return empty_panel(size[1], size[0], 'residuals', 'no fit')
    shrink = size[0] / diagnosis.frame.camera.width
    typical = float(np.median(points.residual_px)) * shrink
    wanted = _ARROW_PX / max(typical, 1e-6)
    factor = min(_MAGNIFICATIONS, key=lambda m: abs(np.log(m / wanted)))
    picture = _photo(diagnosis.frame, size, 0.45)
    starts = _places(points.target, diagnosis.frame, size)
    ends = _places(points.target + factor * points.residual, diagnosis.frame, size)
    colours = _levels(points.residual_px / _MAX_RESIDUAL_PX, GOOD_TO_BAD)
    for start, end, colour, good in zip(
        starts.tolist(), ends.tolist(), colours, points.explained.tolist(), strict=True
    ):
        if good:
            segment(picture, (start[0], start[1]), (end[0], end[1]), colour)
            disc(picture, start[0], start[1], 1.0, (255, 255, 255))
    title = f'residuals of the inliers x {factor}'
    return panel(picture, title, Scale('0', f'{_MAX_RESIDUAL_PX:.0f} px', GOOD_TO_BAD))


def weight_panel(diagnosis: Diagnosis, points: FittedPoints | None, size: Size) -> Picture:
    """Draw how much the robust fit believes each point."""
    if points is None:
        return empty_panel(size[1], size[0], 'weights', 'no fit')
    picture = _photo(diagnosis.frame, size, 0.3)
    places = _places(points.target, diagnosis.frame, size).tolist()
    for (x, y), colour in zip(places, _levels(points.weight, VIRIDIS), strict=True):
        disc(picture, x, y, 1.8, colour)
    return panel(picture, 'robust weights', Scale('0', '1', VIRIDIS))


def _fates(key: Keyframe, fit: Alignment) -> list[Colour]:
    """Return a colour for each point of the key frame: what became of it."""
    pixels = key.points.pixels
    at = np.rint(pixels).astype(np.intp)
    goal = pixels + fit.displacement[at[:, 1], at[:, 0]]
    camera = key.frame.camera
    inside = (goal >= 0).all(1) & (goal < (camera.width, camera.height)).all(1)
    colours = np.where(inside[:, None], _UNMATCHED, _OUT_OF_VIEW)
    explained = fit.explained
    if explained is None:
        colours[fit.kept] = _OUTLIER
    else:
        colours[fit.kept] = np.where(explained[:, None], _EXPLAINED, _OUTLIER)
    return [(int(b), int(g), int(r)) for b, g, r in colours]


def _photo(frame: PreparedFrame, size: Size, brightness: float) -> Picture:
    """Return the picture in grey, darkened so that colours stand out."""
    grey = cv2.resize(frame.grey, size, interpolation=cv2.INTER_AREA)
    if frame.usable is not None:
        usable = cv2.resize(frame.usable.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        grey = np.where(usable > 0, grey, grey // 3)
    return cv2.cvtColor((grey * brightness).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def _places(pixels: Float[np.ndarray, 'n 2'], frame: PreparedFrame, size: Size) -> np.ndarray:
    scale = np.array([size[0] / frame.camera.width, size[1] / frame.camera.height])
    return subpixels((pixels + 0.5) * scale - 0.5)


def _levels(level: Float[np.ndarray, ' n'], colours: UInt8[np.ndarray, '256 3']) -> list[Colour]:
    index = np.round(np.clip(level, 0.0, 1.0) * 255.0).astype(np.uint8)
    return [(b, g, r) for b, g, r in colours[index].tolist()]
