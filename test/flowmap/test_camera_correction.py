# SPDX-License-Identifier: Apache-2.0
"""What is found about the working camera becomes a camera of the original pictures."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.errors import CameraError
from flowcam_ros.flowmap.camera_correction import (
    CameraCorrection,
    corrected_working,
    distort_pixels,
    refined_camera,
)
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import project
from flowcam_ros.geometry.rectify import Rectifier
from flowcam_ros.sequences.synthetic.options import TYPICAL_LENSES

PINHOLE = (1280, 960, 900.0, 905.0, 640.0, 470.0)
ORIGINALS = {name: CameraModel(*PINHOLE, name, lens) for name, lens in TYPICAL_LENSES.items()}
ORIGINALS['rational with prism'] = CameraModel(
    *PINHOLE, 'rational_polynomial', (*TYPICAL_LENSES['rational_polynomial'], 1e-3, 0, 2e-3, 0)
)
SMALL = st.floats(-0.03, 0.03)


def working_of(original: CameraModel) -> CameraModel:
    return Rectifier(original, 1155, 866).camera


def rays(count: int = 200, reach: float = 0.55) -> np.ndarray:
    """Return points in camera axes that all of these cameras see."""
    rng = np.random.default_rng(3)
    flat = rng.uniform(-reach, reach, (count, 2)) * (1.0, 0.7)
    return np.concatenate([flat, np.ones((count, 1))], 1) * rng.uniform(0.5, 4.0, (count, 1))


def composed(
    original: CameraModel, working: CameraModel, correction: CameraCorrection
) -> np.ndarray:
    """Return the pixels of the rays by the correction first, the start calibration second."""
    seen = project(corrected_working(working, correction), rays())
    return distort_pixels(original, working, seen)


@pytest.mark.parametrize('name', ORIGINALS)
def test_no_correction_changes_nothing(name: str) -> None:
    original = ORIGINALS[name]
    refined = refined_camera(original, working_of(original), CameraCorrection())
    assert refined.camera == original
    assert refined.worst_px == 0.0


@pytest.mark.parametrize('name', ORIGINALS)
def test_pixels_go_back_to_where_the_undistortion_took_them_from(name: str) -> None:
    original = ORIGINALS[name]
    working = working_of(original)
    points = rays()
    there = distort_pixels(original, working, project(working, points))
    np.testing.assert_allclose(there, project(original, points), atol=1e-8)


@pytest.mark.parametrize('name', ORIGINALS)
def test_another_focal_length_is_found_exactly(name: str) -> None:
    original = ORIGINALS[name]
    working, correction = working_of(original), CameraCorrection(focal_scale=1.03)
    refined = refined_camera(original, working, correction)
    assert refined.worst_px < 1e-2
    assert refined.camera.fx == pytest.approx(1.03 * original.fx, rel=1e-4)
    assert refined.camera.distortion_model == original.distortion_model
    assert len(refined.camera.distortion) == len(original.distortion)
    np.testing.assert_allclose(
        project(refined.camera, rays()), composed(original, working, correction), atol=2e-2
    )


@given(SMALL, st.floats(-4, 4), st.floats(-4, 4), SMALL, SMALL)
@settings(deadline=None, max_examples=25)
def test_a_camera_without_distortion_is_exact(
    focal: float, shift_x: float, shift_y: float, k1: float, k2: float
) -> None:
    original = ORIGINALS['none']
    working = working_of(original)
    correction = CameraCorrection(1.0 + focal, shift_x, shift_y, k1, k2)
    refined = refined_camera(original, working, correction)
    assert refined.worst_px == 0.0
    np.testing.assert_allclose(
        project(refined.camera, rays()), composed(original, working, correction), atol=1e-7
    )


@pytest.mark.parametrize('name', ORIGINALS)
@given(SMALL, st.floats(-2, 2), st.floats(-2, 2), SMALL, SMALL)
@settings(deadline=None, max_examples=5)
def test_the_told_error_bounds_that_of_the_camera(
    name: str, focal: float, shift_x: float, shift_y: float, k1: float, k2: float
) -> None:
    original = ORIGINALS[name]
    working = working_of(original)
    correction = CameraCorrection(1.0 + focal, shift_x, shift_y, k1, k2)
    refined = refined_camera(original, working, correction)
    off = project(refined.camera, rays()) - composed(original, working, correction)
    assert refined.worst_px < 3.0
    assert np.linalg.norm(off, axis=1).max() <= 1.1 * refined.worst_px + 1e-6


@pytest.mark.parametrize('name', ['plumb_bob', 'rational_polynomial', 'equidistant'])
def test_radial_terms_left_over_go_into_the_lens(name: str) -> None:
    original = ORIGINALS[name]
    correction = CameraCorrection(k1=0.02, k2=-0.01)
    refined = refined_camera(original, working_of(original), correction)
    assert 0.0 < refined.worst_px < 0.25
    # which is far less than what leaving them out would cost
    before = project(original, rays()) - composed(original, working_of(original), correction)
    assert np.linalg.norm(before, axis=1).max() > 2.5


def test_distortion_that_folds_the_picture_is_an_error() -> None:
    original = ORIGINALS['equidistant']
    correction = CameraCorrection(k1=-30.0)
    with pytest.raises(CameraError, match='folds'):
        refined_camera(original, working_of(original), correction)


def test_an_impossible_focal_length_is_an_error() -> None:
    original = ORIGINALS['plumb_bob']
    with pytest.raises(CameraError, match='focal'):
        refined_camera(original, working_of(original), CameraCorrection(focal_scale=-1.0))
    assert dataclasses.asdict(CameraCorrection())['focal_scale'] == 1.0
