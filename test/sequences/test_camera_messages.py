# SPDX-License-Identifier: Apache-2.0
"""CameraInfo: never a guess."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.errors import CameraError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.sequences.camera_messages import baseline_from_info, camera_from_info


def roi(x, y, width, height):
    return SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height, do_rectify=False)


def test_k_and_d_of_a_raw_picture(messages):
    camera = camera_from_info(messages.camera_info(), 64, 48)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50.0, 52.0, 31.5, 23.5)
    assert camera.distortion_model == 'plumb_bob' and len(camera.distortion) == 5


def test_p_of_a_rectified_picture(messages):
    camera = camera_from_info(messages.camera_info(), 64, 48, rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (49.0, 51.0, 31.0, 23.0)
    assert not camera.is_distorted


def test_arrays_of_any_kind_will_do(messages):
    info = messages.camera_info(k=np.array(messages.camera_info().k), d=np.zeros(0))
    assert camera_from_info(info, 64, 48) == CameraModel(64, 48, 50.0, 52.0, 31.5, 23.5)


@pytest.mark.parametrize('model', ['', 'plumb_bob', 'anything'])
def test_no_coefficients_mean_no_distortion_whatever_the_model(model, messages):
    info = messages.camera_info(distortion_model=model, d=[0.0] * 5)
    assert not camera_from_info(info, 64, 48).is_distorted


@pytest.mark.parametrize(
    ('model', 'count'),
    [
        ('plumb_bob', 4),
        ('rational_polynomial', 8),
        ('rational_polynomial', 14),
        ('equidistant', 4),
    ],
)
def test_supported_models(model, count, messages):
    info = messages.camera_info(distortion_model=model, d=[0.01] * count)
    assert camera_from_info(info, 64, 48).distortion_model == model


@pytest.mark.parametrize('factor', [2, 3])
def test_exact_multiples_scale_the_intrinsics(factor, messages):
    camera = camera_from_info(messages.camera_info(), 64 * factor, 48 * factor)
    assert camera == camera_from_info(messages.camera_info(), 64, 48).resized(
        64 * factor, 48 * factor
    )
    assert camera.cx == (31.5 + 0.5) * factor - 0.5
    half = camera_from_info(messages.camera_info(), 32, 24)
    assert half.fx == 25.0 and half.cx == 15.5


@pytest.mark.parametrize('size', [(65, 48), (64, 96), (96, 72), (0, 0), (48, 64), (1, 1)])
def test_other_sizes_are_refused(size, messages):
    with pytest.raises(CameraError, match='64x48'):
        camera_from_info(messages.camera_info(), *size)


def test_region_of_interest_moves_the_centre(messages):
    camera = camera_from_info(messages.camera_info(roi=roi(10, 6, 32, 24)), 32, 24)
    assert (camera.cx, camera.cy, camera.fx) == (21.5, 17.5, 50.0)


def test_binning_halves_the_picture(messages):
    camera = camera_from_info(messages.camera_info(binning_x=2, binning_y=2), 32, 24)
    assert (camera.fx, camera.cx) == (25.0, 15.5)
    odd = messages.camera_info(width=65, height=49, binning_x=2, binning_y=2)
    camera = camera_from_info(odd, 32, 24)
    assert (camera.fx, camera.fy, camera.cx) == (25.0, 26.0, 15.5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'k': [0.0] * 9}, 'not calibrated .K is zero.*--camera FILE'),
        ({'k': [float('nan')] * 9}, 'NaN'),
        ({'k': [50.0, 0, 31, 0, -50.0, 23, 0, 0, 1]}, 'not positive'),
        ({'k': [50.0, 3.0, 31, 0, 50.0, 23, 0, 0, 1]}, 'skew'),
        ({'k': [1.0] * 8}, 'K has 8 numbers instead of 9'),
        ({'k': None}, 'not a sensor_msgs/CameraInfo'),
        ({'k': ['a'] * 9}, 'not a sensor_msgs/CameraInfo'),
        ({'d': [0.1, 0.1]}, 'takes 4 or 5 coefficients, got 2'),
        ({'d': [float('inf')] * 5}, 'NaN or infinity'),
        ({'distortion_model': ''}, 'distortion_model is empty'),
        ({'distortion_model': 'fov', 'd': [0.9]}, "'fov' is not supported; known: "),
        ({'width': 0, 'height': 0}, 'not positive'),
        ({'roi': roi(60, 0, 32, 24)}, 'not inside'),
        ({'roi': roi(0, 0, 32, 0)}, 'not inside'),
    ],
)
def test_what_is_wrong_is_said(change, message, messages):
    with pytest.raises(CameraError, match=message):
        camera_from_info(messages.camera_info(**change), 64, 48)


def test_a_rectified_picture_needs_p(messages):
    with pytest.raises(CameraError, match='P is zero'):
        camera_from_info(messages.camera_info(p=[0.0] * 12), 64, 48, rectified=True)


def test_the_baseline_comes_from_p(messages):
    assert baseline_from_info(messages.camera_info()) == pytest.approx(0.1)
    for p in ([0.0] * 12, [49.0, *[0.0] * 11], [49.0, 0, 31, 4.9, *[0.0] * 8]):
        with pytest.raises(CameraError, match='baseline'):
            baseline_from_info(messages.camera_info(p=p))


numbers = st.one_of(st.floats(), st.floats(10, 1000), st.just(0.0))


@settings(max_examples=500, deadline=None)
@given(
    k=st.lists(numbers, min_size=8, max_size=10),
    d=st.lists(numbers, max_size=15),
    model=st.sampled_from(['plumb_bob', 'rational_polynomial', 'equidistant', '', 'x']),
    size=st.tuples(st.integers(0, 200), st.integers(0, 200)),
    binning=st.integers(0, 80),
    region=st.tuples(*[st.integers(-5, 70)] * 4),
)
def test_nothing_but_camera_error_and_finite_intrinsics(
    k, d, model, size, binning, region, messages
):
    info = messages.camera_info(
        k=k, d=d, distortion_model=model, binning_x=binning, binning_y=binning, roi=roi(*region)
    )
    try:
        camera = camera_from_info(info, *size)
    except CameraError as error:
        assert '\n' not in str(error)
    else:
        assert (camera.width, camera.height) == size and np.isfinite(camera.matrix).all()
