# SPDX-License-Identifier: Apache-2.0
"""The numbers of one diagnosed frame: a row of a table, and the lines above its picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.health import depth_share
from flowcam_ros.visualization.fitted_points import fitted_points

# Depth whose standard deviation is a larger share of it counts as hardly known.
MAX_RELATIVE_SIGMA = 0.3

Number = int | float | str | None

COLUMNS = (
    *('frame', 'stamp_ns', 'picture', 'state', 'reason', 'is_keyframe', 'fitted_to_stamp_ns'),
    *(
        'key_points',
        'followed',
        'matched',
        'inliers',
        'inlier_ratio',
        'residual_px',
        'residual_trend',
    ),
    *('median_flow_px', 'parallax_px', 'condition', 'holds_translation'),
    *('fit_sigma_m', 'fit_sigma_deg', 'pose_sigma_m', 'pose_sigma_deg'),
    *('speed_m_s', 'turn_deg_s', 'depth_share', 'depth_well_known', 'depth_rel_sigma'),
    *('brightness', 'key_brightness', 'sharpness', 'total_ms'),
)


def numbers(diagnosis: Diagnosis) -> dict[str, Number]:
    """Return the numbers of one frame by the names in COLUMNS; None where there is none.

    Lengths are metres (units without a known scale), sigmas one standard deviation of one axis,
    sharpness is that of the frame in parts of the key frame's, residual_trend as
    :meth:`FittedPoints.trend`.
    """
    estimate, fit, key = diagnosis.estimate, diagnosis.alignment, diagnosis.keyframe
    row: dict[str, Number] = dict.fromkeys(COLUMNS)
    row['stamp_ns'] = estimate.stamp_ns
    row['state'], row['reason'] = estimate.state.name.lower(), estimate.reason
    row['is_keyframe'] = int(estimate.is_keyframe)
    row['pose_sigma_m'], row['pose_sigma_deg'] = sigmas(estimate.covariance)
    row['speed_m_s'] = float(np.linalg.norm(estimate.twist[:3]))
    row['turn_deg_s'] = float(np.degrees(np.linalg.norm(estimate.twist[3:])))
    row['brightness'] = float(diagnosis.frame.grey.mean())
    row['total_ms'] = estimate.timings_ms.get('total')
    if fit is not None:
        row['followed'], row['matched'], row['inliers'] = fit.followed, fit.matched, fit.inliers
        row['median_flow_px'] = fit.median_flow_px
    if fit is not None and fit.covariance is not None:
        row['inlier_ratio'], row['residual_px'] = fit.inlier_ratio, fit.residual_px
        row['parallax_px'], row['condition'] = fit.parallax_px, fit.condition
        row['holds_translation'] = int(fit.holds_translation)
        row['fit_sigma_m'], row['fit_sigma_deg'] = sigmas(fit.covariance)
    if key is not None:
        row['fitted_to_stamp_ns'] = key.frame.stamp_ns
        row['key_points'] = len(key)
        row['key_brightness'] = float(key.frame.grey.mean())
        if fit is not None and (points := fitted_points(fit, key.frame.camera)) is not None:
            row['residual_trend'] = points.trend()
        row['sharpness'] = sharpness(diagnosis.frame.grey) / sharpness(key.frame.grey)
    if diagnosis.depth is not None:
        known = diagnosis.depth.inverse_depth > 0
        row['depth_share'] = depth_share(diagnosis.depth)
        row['depth_well_known'] = float(well_known(diagnosis.depth).mean())
        if known.any():
            spread = np.sqrt(diagnosis.depth.variance[known])
            row['depth_rel_sigma'] = float(
                np.median(spread / diagnosis.depth.inverse_depth[known])
            )
    return {name: _finite(value) for name, value in row.items()}


def well_known(depth: DepthEstimate) -> Bool[np.ndarray, 'height width']:
    """Return where the depth's standard deviation is at most MAX_RELATIVE_SIGMA of it."""
    limit = np.float32(MAX_RELATIVE_SIGMA) * depth.inverse_depth
    return depth.variance < limit * limit


def sigmas(covariance: np.ndarray) -> tuple[float, float]:
    """Return one standard deviation of position (metres) and rotation (degrees), mean axis."""
    diagonal = np.diag(covariance)
    return (
        float(np.sqrt(diagonal[:3].mean())),
        float(np.degrees(np.sqrt(diagonal[3:].mean()))),
    )


def sharpness(grey: UInt8[np.ndarray, 'height width']) -> float:
    """Return the spread of the Laplacian in parts of that of the brightness; blur lowers it."""
    contrast = float(grey[::2, ::2].std())
    return float(cv2.Laplacian(grey, cv2.CV_16S).std()) / max(contrast, 1.0) + 1e-6


def heading(row: dict[str, Number], frame: str, fitted_to: str) -> str:
    """Return which frame it is and how it went."""
    words = f'{frame}    {str(row["state"]).upper()}'
    if row['reason']:
        words += f' ({row["reason"]})'
    if row['is_keyframe']:
        words += '    new key frame'
    stamp, key_stamp = row['stamp_ns'], row['fitted_to_stamp_ns']
    if isinstance(stamp, int) and isinstance(key_stamp, int):
        words += f'    fitted to key frame {fitted_to}'.rstrip()
        words += f', {(stamp - key_stamp) * 1e-9:.3f} s before'
    return words


def lines(row: dict[str, Number], unit: str, timings_ms: dict[str, float]) -> list[str]:
    """Return the numbers in three lines."""

    def show(name: str, form: str, after: str = '') -> str:
        value = row[name]
        return '-' if value is None else f'{value:{form}}{after}'

    spent = '  '.join(f'{step} {ms:.1f}' for step, ms in timings_ms.items() if step != 'total')
    held = ' (translation held)' if row['holds_translation'] else ''
    return [
        f'points: {show("key_points", "d")} in the key frame, {show("followed", "d")} still in '
        f'view, {show("matched", "d")} matched, {show("inliers", "d")} explained (inlier ratio '
        f'{show("inlier_ratio", ".2f")})    residual {show("residual_px", ".2f", " px")}, smooth '
        f'share {show("residual_trend", ".0%")}    flow {show("median_flow_px", ".1f", " px")}    '
        f'parallax {show("parallax_px", ".1f", " px")}    '
        f'condition {show("condition", ".1e")}{held}',
        f'sigma of the fit: {show("fit_sigma_m", ".2g", " " + unit)}, '
        f'{show("fit_sigma_deg", ".2g", "°")}    of the pose: '
        f'{show("pose_sigma_m", ".2g", " " + unit)}, {show("pose_sigma_deg", ".2g", "°")}    '
        f'speed {show("speed_m_s", ".2f", " " + unit + "/s")}, '
        f'{show("turn_deg_s", ".1f", "°/s")}    depth: {show("depth_share", ".0%")} filled, '
        f'{show("depth_well_known", ".0%")} known, median sigma {show("depth_rel_sigma", ".1%")}',
        f'brightness {show("brightness", ".0f")} (key frame {show("key_brightness", ".0f")})    '
        f'sharpness {show("sharpness", ".2f")} of the key frame    '
        f'time {show("total_ms", ".1f", " ms")}: {spent}',
    ]


def _finite(value: Number) -> Number:
    return None if isinstance(value, float) and not math.isfinite(value) else value
