# SPDX-License-Identifier: Apache-2.0
"""The camera model: what it accepts and how it is resized."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.errors import CameraError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.projection import project, rays

CAMERA = CameraModel(640, 480, 500.0, 510.0, 321.0, 239.5)


def test_all_zero_distortion_is_none() -> None:
    camera = CameraModel(640, 480, 500, 500, 320, 240, 'plumb_bob', (0.0,) * 5)
    assert camera.distortion_model == 'none'
    assert not camera.is_distorted


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'fx': 0.0}, 'not calibrated'),
        ({'fy': -1.0}, 'focal length'),
        ({'cx': math.nan}, 'NaN'),
        ({'width': 0}, 'image size'),
        ({'fx': 1e-300}, 'no lens'),
        ({'cy': 1e200}, 'no lens'),
        ({'distortion_model': 'thin_prism', 'distortion': (0.1,)}, 'not supported'),
        ({'distortion_model': 'plumb_bob', 'distortion': (0.1, 0.2, 0.3)}, '4 or 5 coefficients'),
        ({'distortion_model': 'equidistant', 'distortion': (0.1,) * 5}, '4 coefficients'),
    ],
)
def test_bad_calibrations_are_refused_in_words(changes: dict, words: str) -> None:
    good = {'width': 640, 'height': 480, 'fx': 500.0, 'fy': 500.0, 'cx': 320.0, 'cy': 240.0}
    with pytest.raises(CameraError, match=words):
        CameraModel(**{**good, **changes})


@given(st.integers(16, 2000), st.integers(16, 2000), st.floats(-400, 1000), st.floats(-400, 1000))
def test_resizing_moves_pixels_as_their_areas_move(
    width: int, height: int, x: float, y: float
) -> None:
    """A ray that hits pixel x hits (x + 0.5) s - 0.5 of the resized image."""
    pixel = torch.tensor([[x, y]], dtype=torch.float64)
    resized = CAMERA.resized(width, height)
    moved = project(resized, rays(CAMERA, pixel)).numpy()[0]
    scale = np.array([width / 640, height / 480])
    np.testing.assert_allclose(moved, (np.array([x, y]) + 0.5) * scale - 0.5, atol=1e-6)


def test_projection_inverts_rays() -> None:
    pixels = torch.rand(100, 2, dtype=torch.float64) * 480
    depth = torch.rand(100, 1, dtype=torch.float64) * 10 + 0.1
    torch.testing.assert_close(project(CAMERA, rays(CAMERA, pixels) * depth), pixels)
