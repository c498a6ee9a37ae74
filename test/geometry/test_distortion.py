# SPDX-License-Identifier: Apache-2.0
"""Distortion: both directions agree, OpenCV's formulae are met, the rim is told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import distort, pixel_rays, project, undistort

LENSES = {
    'none': ('none', ()),
    'plumb_bob4': ('plumb_bob', (-0.28, 0.07, 2e-4, -1e-4)),
    'plumb_bob5': ('plumb_bob', (-0.38, 0.2, 1e-3, -2e-3, -0.05)),
    'rational8': ('rational_polynomial', (0.5, -2.6, 5e-4, -2e-4, 1.5, 0.38, -2.4, 1.4)),
    'rational12': (
        'rational_polynomial',
        (0.5, -2.6, 5e-4, -2e-4, 1.5, 0.38, -2.4, 1.4, 1e-3, -5e-4, -1e-3, 2e-4),
    ),
    'rational14': (
        'rational_polynomial',
        (0.5, -2.6, 5e-4, -2e-4, 1.5, 0.38, -2.4, 1.4, 1e-3, 0.0, -1e-3, 0.0, 0.02, -0.01),
    ),
    'equidistant': ('equidistant', (0.02, -0.01, 3e-3, -1e-3)),
}


def camera_with(lens: str) -> CameraModel:
    model, coefficients = LENSES[lens]
    return CameraModel(640, 480, 460.0, 455.0, 318.0, 241.0, model, coefficients)


@pytest.mark.parametrize('lens', LENSES)
@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-0.6, 0.6),
    y=st.floats(-0.45, 0.45),
)
def test_undistort_inverts_distort(lens: str, x: float, y: float) -> None:
    camera = camera_with(lens)
    point = np.array([[x, y]])
    np.testing.assert_allclose(undistort(camera, distort(camera, point)), point, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    k1=st.floats(-0.3, 0.3),
    k2=st.floats(-0.05, 0.05),
    p1=st.floats(-2e-3, 2e-3),
    p2=st.floats(-2e-3, 2e-3),
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
)
def test_plumb_bob_is_the_formula_of_camera_info(
    k1: float, k2: float, p1: float, p2: float, x: float, y: float
) -> None:
    camera = CameraModel(640, 480, 500, 500, 320, 240, 'plumb_bob', (k1, k2, p1, p2, 0.01))
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + 0.01 * r2**3
    expected = [
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    ]
    np.testing.assert_allclose(distort(camera, np.array([x, y])), expected, atol=1e-12)


@given(angle=st.floats(0.01, 1.2), around=st.floats(0, 6.28))
@settings(max_examples=40, deadline=None)
def test_equidistant_is_a_polynomial_of_the_angle(angle: float, around: float) -> None:
    camera = camera_with('equidistant')
    direction = np.array([np.cos(around), np.sin(around)])
    k1, k2, k3, k4 = camera.distortion
    bent = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
    found = distort(camera, np.tan(angle) * direction)
    np.testing.assert_allclose(found, bent * direction, atol=1e-9)


@pytest.mark.parametrize('lens', LENSES)
def test_shapes_are_kept_and_empty_is_fine(lens: str) -> None:
    camera = camera_with(lens)
    assert distort(camera, np.zeros((0, 2))).shape == (0, 2)
    assert undistort(camera, np.zeros((3, 4, 2))).shape == (3, 4, 2)
    assert distort(camera, np.zeros(2, np.float32)).dtype == np.float64


def test_input_is_not_written_to() -> None:
    camera = camera_with('none')
    points = np.ones((2, 2))
    distort(camera, points)[:] = 0
    assert points.all()


@pytest.mark.parametrize('lens', ['plumb_bob5', 'rational14'])
def test_project_agrees_with_opencv(lens: str) -> None:
    camera = camera_with(lens)
    points = np.random.default_rng(1).uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    expected, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion)
    )
    np.testing.assert_allclose(project(camera, points), expected[:, 0], atol=1e-9)


@pytest.mark.parametrize('lens', LENSES)
def test_pixel_rays_project_back_to_their_pixels(lens: str) -> None:
    camera = camera_with(lens).resized(64, 48)
    rays = pixel_rays(camera)
    solid = np.concatenate([rays, np.ones((48, 64, 1))], axis=-1) * 3.0
    columns, rows = np.meshgrid(np.arange(64), np.arange(48))
    np.testing.assert_allclose(project(camera, solid), np.stack([columns, rows], -1), atol=1e-4)


def test_beyond_the_rim_of_the_lens_is_nan() -> None:
    camera = CameraModel(640, 480, 300, 300, 320, 240, 'plumb_bob', (-0.5, 0.0, 0.0, 0.0))
    assert np.isnan(undistort(camera, np.array([0.9, 0.0]))).all()
    assert np.isfinite(undistort(camera, np.array([0.5, 0.0]))).all()
