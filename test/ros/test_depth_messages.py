# SPDX-License-Identifier: Apache-2.0
"""Depth images and clouds hold what their layout promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy', reason='needs ROS 2')

from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.ros.depth_messages import cloud_msg, depth_image_msg, depth_variance_msg

WIDTH, HEIGHT = 13, 9
CAMERA = CameraModel(WIDTH, HEIGHT, 20.0, 21.0, 6.2, 3.9)


def depth_estimate(inverse_depth: np.ndarray, *, grey: bool = False) -> DepthEstimate:
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH) if grey else (HEIGHT, WIDTH, 3)
    image = rng.integers(0, 256, shape, np.uint8)
    return DepthEstimate(5, CAMERA, inverse_depth, np.ones_like(inverse_depth), image)


def fields_of(message: object) -> np.ndarray:
    """Read a cloud by nothing but its own description."""
    kinds = {7: '<f4'}
    dtype = np.dtype(
        {
            'names': [f.name for f in message.fields],
            'formats': [kinds[f.datatype] for f in message.fields],
            'offsets': [f.offset for f in message.fields],
            'itemsize': message.point_step,
        }
    )
    assert message.row_step == message.point_step * message.width
    return np.frombuffer(bytes(message.data), dtype).reshape(message.height, message.width)


@given(st.integers(1, 5), st.integers(0, 100), st.booleans())
def test_cloud_is_organised_coloured_and_nan_where_unknown(
    decimation: int, percent: int, grey: bool
) -> None:
    rng = np.random.default_rng(percent)
    inverse = rng.uniform(0.2, 2.0, (HEIGHT, WIDTH)).astype(np.float32)
    inverse[rng.random(inverse.shape) < percent / 100] = 0.0
    estimate = depth_estimate(inverse, grey=grey)
    message = cloud_msg(estimate, 'camera', decimation)
    points = fields_of(message)
    rows, columns = np.mgrid[0:HEIGHT:decimation, 0:WIDTH:decimation]
    assert points.shape == rows.shape
    assert not message.is_dense
    unknown = inverse[rows, columns] == 0
    for axis in 'xyz':
        assert (np.isnan(points[axis]) == unknown).all()
        assert np.isfinite(points[axis][~unknown]).all()
    z = 1.0 / inverse[rows, columns][~unknown]
    x = (columns[~unknown] - CAMERA.cx) / CAMERA.fx * z
    y = (rows[~unknown] - CAMERA.cy) / CAMERA.fy * z
    assert points['x'][~unknown] == pytest.approx(x, abs=1e-5)
    assert points['y'][~unknown] == pytest.approx(y, abs=1e-5)
    assert points['z'][~unknown] == pytest.approx(z, rel=1e-6)
    packed = np.ascontiguousarray(points['rgb']).view(np.uint32)
    image = estimate.image[rows, columns]
    bgr = np.stack([image] * 3, -1) if grey else image
    assert (packed & 0xFF == bgr[..., 0]).all()
    assert (packed >> 8 & 0xFF == bgr[..., 1]).all()
    assert (packed >> 16 == bgr[..., 2]).all()


def test_depth_image_is_metres_with_nan_where_unknown() -> None:
    inverse = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    inverse[2, 3] = 0.0
    message = depth_image_msg(depth_estimate(inverse), 'camera')
    assert (message.encoding, message.step, message.header.frame_id) == ('32FC1', 52, 'camera')
    depth = np.frombuffer(bytes(message.data), np.float32).reshape(HEIGHT, WIDTH)
    assert np.isnan(depth[2, 3])
    assert np.nansum(depth) == pytest.approx(2.0 * (HEIGHT * WIDTH - 1))


def test_variance_is_that_of_the_depth_with_nan_where_unknown() -> None:
    """First order: z = 1/rho moves by z^2 for a unit of rho."""
    inverse = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    variance = np.full((HEIGHT, WIDTH), 1e-4, np.float32)
    inverse[2, 3], variance[4, 5] = 0.0, np.inf
    inverse[6, 7] = 1e-20  # too far for its variance to be a number
    estimate = dataclasses.replace(depth_estimate(inverse), variance=variance)
    message = depth_variance_msg(estimate, 'camera')
    assert (message.encoding, message.step, message.header.frame_id) == ('32FC1', 52, 'camera')
    found = np.frombuffer(bytes(message.data), np.float32).reshape(HEIGHT, WIDTH)
    assert {tuple(at) for at in np.argwhere(np.isnan(found))} == {(2, 3), (4, 5), (6, 7)}
    assert found[0, 0] == pytest.approx(1e-4 * 2.0**4)
    draws = 1.0 / np.random.default_rng(0).normal(0.5, 0.01, 20_000)
    assert found[0, 0] == pytest.approx(draws.var(), rel=0.05)
    assert message.header == depth_image_msg(estimate, 'camera').header
