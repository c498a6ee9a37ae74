# SPDX-License-Identifier: Apache-2.0
"""The panels of a diagnosis that have a value for every pixel."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float

from flowcam_ros.correspondence.flow import FlowEstimator
from flowcam_ros.geometry.projection import project, rays
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.keyframe import Keyframe, look_up
from flowcam_ros.visualization.canvas import (
    GOOD_TO_BAD,
    TURBO,
    VIRIDIS,
    Picture,
    Scale,
    coloured,
    empty_panel,
    panel,
)
from flowcam_ros.visualization.depth import depth_limits, depth_picture
from flowcam_ros.visualization.diagnosis_numbers import MAX_RELATIVE_SIGMA, well_known
from flowcam_ros.visualization.flow import draw_wheel, flow_limit, flow_picture

Size = tuple[int, int]  # width and height of a panel's picture, pixels

_NO_KEYFRAME = 'nothing to fit to'
_NO_DEPTH = 'no depth'
_WHEEL = 20  # radius, pixels
_MAX_UNEXPLAINED_PX = 5.0
# relative standard deviation of depth: first and last colour
_LEAST_SIGMA, _MOST_SIGMA = 1e-3, 1.0
_MIN_Z = 1e-3


def flow_panel(diagnosis: Diagnosis, size: Size) -> Picture:
    """Draw the dense flow from the key frame."""
    title = 'flow from the key frame'
    fit = diagnosis.alignment
    if fit is None:
        return empty_panel(size[1], size[0], title, _NO_KEYFRAME)
    limit = flow_limit(fit.displacement)
    picture = flow_picture(cv2.resize(fit.displacement, size), limit)
    draw_wheel(picture, _WHEEL)
    return panel(picture, f'{title} (rim of the wheel: {limit:.1f} px)')


def confidence_panel(diagnosis: Diagnosis, flow: FlowEstimator, size: Size) -> Picture:
    """Draw how well the dense flow there and back agree."""
    title = 'flow there and back'
    key, fit = diagnosis.keyframe, diagnosis.alignment
    if key is None or fit is None:
        return empty_panel(size[1], size[0], title, _NO_KEYFRAME)
    confidence = flow.confidence(key.frame.grey, diagnosis.frame.grey, fit.displacement)
    picture = coloured(cv2.resize(confidence, size, interpolation=cv2.INTER_AREA), VIRIDIS)
    title += f': {float((confidence > 0).mean()):.0%} closes'
    return panel(picture, title, Scale('0', '1', VIRIDIS))


def depth_panel(diagnosis: Diagnosis, size: Size) -> Picture:
    """Draw the depth in metres, near is red; dark where it is hardly known."""
    depth = diagnosis.depth
    if depth is None:
        return empty_panel(size[1], size[0], 'depth', _NO_DEPTH)
    z = depth.depth()
    near, far = depth_limits(z)
    picture = cv2.cvtColor(depth_picture(z, (near, far)), cv2.COLOR_RGB2BGR)
    unsure = (depth.inverse_depth > 0) & ~well_known(depth)
    picture[unsure] = (picture[unsure] * 0.35).astype(np.uint8)
    unit = '' if diagnosis.estimate.scale_source == 'none' else ' m'
    scale = Scale(f'{near:.2f}', f'{far:.2f}{unit}', TURBO[::-1])
    title = f'depth{_whose(diagnosis)}'
    if unsure.any():
        title += f' (dark: sigma > {MAX_RELATIVE_SIGMA:.0%})'
    return panel(_resized(picture, size), title, scale)


def depth_sigma_panel(diagnosis: Diagnosis, size: Size) -> Picture:
    """Draw the relative standard deviation of the depth, logarithmically."""
    title = 'sigma of depth / depth'
    depth = diagnosis.depth
    if depth is None:
        return empty_panel(size[1], size[0], title, _NO_DEPTH)
    known = (depth.inverse_depth > 0) & np.isfinite(depth.variance)
    ratio = np.full(known.shape, np.nan, np.float32)
    ratio[known] = np.sqrt(depth.variance[known]) / depth.inverse_depth[known]
    span = np.log(_MOST_SIGMA / _LEAST_SIGMA)
    level = np.log(np.maximum(ratio, _LEAST_SIGMA) / _LEAST_SIGMA) / span
    scale = Scale(f'{_LEAST_SIGMA:.1%}', f'{_MOST_SIGMA:.0%}, log', VIRIDIS)
    return panel(_resized(coloured(level, VIRIDIS), size), title, scale)


def unexplained_panel(diagnosis: Diagnosis, size: Size) -> Picture:
    """Draw how far the dense flow is from where the pose and the dense depth put each pixel."""
    title = 'flow - (pose, depth)'
    key, fit = diagnosis.keyframe, diagnosis.alignment
    if key is None or fit is None:
        return empty_panel(size[1], size[0], title, _NO_KEYFRAME)
    distance = unexplained_flow(key, fit, size)
    scale = Scale('0', f'{_MAX_UNEXPLAINED_PX:.0f} px', GOOD_TO_BAD)
    return panel(coloured(distance / _MAX_UNEXPLAINED_PX, GOOD_TO_BAD), title, scale)


def unexplained_flow(
    keyframe: Keyframe, fit: Alignment, size: Size
) -> Float[np.ndarray, 'height width']:
    """Return pixels between the dense flow and the one that pose and depth induce.

    Moving things stand out, and depth that does not belong to the picture.

    Returns:
        (height, width) of ``size``, in the key frame; NaN where its depth is hardly known.
    """
    camera = keyframe.frame.camera
    columns = (np.arange(size[0]) + 0.5) * (camera.width / size[0]) - 0.5
    rows = (np.arange(size[1]) + 0.5) * (camera.height / size[1]) - 0.5
    pixels = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    inverse, variance = look_up(keyframe.depth, pixels, camera)
    pose = torch.from_numpy(fit.target_from_source)
    source = torch.from_numpy(pixels)
    depth = torch.from_numpy(inverse).double()
    moved = rays(camera, source) @ pose[:3, :3].T + depth.unsqueeze(-1) * pose[:3, 3]
    induced = (project(camera, moved) - source).numpy().reshape(size[1], size[0], 2)
    at = np.rint(pixels).astype(np.intp).clip(0, (camera.width - 1, camera.height - 1))
    found = fit.displacement[at[:, 1], at[:, 0]].reshape(induced.shape)
    distance = np.linalg.norm(found - induced, axis=-1)
    known = (variance < (MAX_RELATIVE_SIGMA * inverse) ** 2) & (moved[:, 2].numpy() > _MIN_Z)
    distance[~known.reshape(distance.shape)] = np.nan
    return distance


def _resized(picture: Picture, size: Size) -> Picture:
    return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)


def _whose(diagnosis: Diagnosis) -> str:
    depth = diagnosis.depth
    own = depth is not None and depth.stamp_ns == diagnosis.frame.stamp_ns
    return ' of the frame' if own else ' of the key frame'
