# SPDX-License-Identifier: Apache-2.0
"""Calibration files."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.errors import CameraError, FlowcamError, UsageError
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.sequences.calibration import Calibration, format_calibration, read_calibration

PLAIN = {'fx': 525.0, 'fy': 525, 'cx': 320, 'cy': 240, 'width': 640, 'height': 480}


def read(tmp_path, **changes):
    content = {k: v for k, v in {**PLAIN, **changes}.items() if v is not ...}
    path = tmp_path / 'calibration.yaml'
    path.write_text(yaml.safe_dump(content))
    return read_calibration(path)


def test_the_least_that_is_needed(tmp_path):
    calibration = read(tmp_path)
    assert calibration.camera == CameraModel(640, 480, 525.0, 525.0, 320.0, 240.0)
    assert calibration.depth_units_per_m is None and calibration.depth_camera is None


@pytest.mark.parametrize(
    ('name', 'model', 'count'),
    [
        ('radtan', 'plumb_bob', 5),
        ('plumb_bob', 'plumb_bob', 4),
        ('equidistant', 'equidistant', 4),
        ('rational_polynomial', 'rational_polynomial', 8),
    ],
)
def test_lens_models(name, model, count, tmp_path):
    camera = read(tmp_path, distortion_model=name, distortion=[0.01] * count).camera
    assert camera.distortion_model == model and camera.distortion == (0.01,) * count


def test_unregistered_depth_has_its_own_intrinsics(tmp_path):
    own = {'depth_fx': 585.0, 'depth_fy': 586.0, 'depth_cx': 320.0, 'depth_cy': 241.0}
    calibration = read(tmp_path, depth_registered_to_rgb=False, depth_invalid=[0, 65535], **own)
    assert calibration.depth_camera == CameraModel(640, 480, 585.0, 586.0, 320.0, 241.0)
    assert calibration.depth_invalid == (0, 65535)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'fx': ...}, 'missing fx'),
        ({'focal': 3}, "unknown key 'focal'"),
        ({'widht': 640, 'width': ...}, "'widht', did you mean width.*missing width"),
        ({'fx': 'long'}, "fx: expected a number, got 'long'"),
        ({'fx': True}, 'fx: expected a number'),
        ({'fx': float('nan')}, 'fx: nan is not a finite number'),
        ({'fx': 0.0}, 'not positive'),
        ({'width': 640.5}, 'width: expected a whole number'),
        ({'width': -1}, 'not positive'),
        ({'camera_model': 'omni'}, "'omni'; only pinhole"),
        ({'distortion_model': 'fov'}, "'fov'; known: none, radtan"),
        ({'distortion_model': ['radtan']}, 'known: none, radtan'),
        ({'distortion': [0.1, 0.1, 0, 0]}, 'distortion_model is none'),
        ({'distortion_model': 'radtan', 'distortion': [0.1]}, 'takes 4 or 5'),
        ({'distortion_model': 'radtan', 'distortion': 'k1'}, 'expected a list'),
        ({'depth_registered_to_rgb': False}, 'depth_fx, depth_fy'),
        ({'depth_registered_to_rgb': 'no way'}, 'expected true or false'),
        ({'depth_scale_units_per_m': 0}, 'not positive'),
        ({'depth_invalid': 0}, 'list of integers'),
        ({'color_from_depth': [1, 2]}, '16 numbers'),
        ({'color_from_depth': [1.0] * 16}, 'not a rigid transform'),
    ],
)
def test_what_is_wrong_is_said(change, message, tmp_path):
    with pytest.raises(CameraError, match=message) as error:
        read(tmp_path, **change)
    assert 'calibration.yaml' in str(error.value)


@pytest.mark.parametrize('text', ['', '- 1', 'fx: [', '3', 'fx: !!python/object:os.system x'])
def test_what_is_no_mapping_is_refused(text, tmp_path):
    path = tmp_path / 'calibration.yaml'
    path.write_text(text)
    with pytest.raises(CameraError):
        read_calibration(path)


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r'nowhere\.yaml'):
        read_calibration(tmp_path / 'nowhere.yaml')


def test_what_is_written_reads_back_equal(tmp_path):
    camera = CameraModel(
        640, 480, 1000 / 3, 525.25, 319.5, 239.5, 'equidistant', (0.1, 0.2, 0.3, 1e-9)
    )
    transform = np.eye(4)
    transform[0, 3] = 0.025
    calibration = Calibration(
        camera, 5000.0, (0, 65535), CameraModel(320, 240, 300.0, 301.0, 160, 120), transform, 30.0
    )
    path = tmp_path / 'camera.yaml'
    path.write_text(format_calibration(calibration))
    again = read_calibration(path)
    assert np.array_equal(again.color_from_depth, transform)
    for name in ('camera', 'depth_units_per_m', 'depth_invalid', 'depth_camera', 'fps'):
        assert getattr(again, name) == getattr(calibration, name)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.floats(-1, 1), max_size=16),
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *PLAIN,
                'distortion',
                'distortion_model',
                'depth_fx',
                'depth_invalid',
                'color_from_depth',
                'fps',
                'x',
            ]
        ),
        values,
        max_size=4,
    )
)
def test_any_values_give_intrinsics_or_a_clear_error(tmp_path_factory, changes):
    try:
        calibration = read(tmp_path_factory.mktemp('c'), **changes)
    except FlowcamError as error:
        assert '\n' not in str(error)
    else:
        assert np.isfinite(calibration.camera.matrix).all()
