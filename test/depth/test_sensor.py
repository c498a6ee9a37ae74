# SPDX-License-Identifier: Apache-2.0
"""Measured depth: cleaned, registered to the colour pixels, with an honest variance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.depth.config import DepthConfig
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.sensor import SensorDepth
from flowcam_ros.errors import ConfigError
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import DepthImage, Frame
from flowcam_ros.geometry.prepare import FramePreparer

COLOR = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5)


def measure(depth: DepthImage | None, max_pixels: int = 10**6) -> DepthEstimate | None:
    frame = Frame(0, np.zeros((48, 64), np.uint8), COLOR, depth)
    return SensorDepth(DepthConfig()).measure(FramePreparer(max_pixels).prepare(frame))


def test_registered_depth_stays_where_it_is() -> None:
    z = np.random.default_rng(0).uniform(0.5, 5.0, (48, 64)).astype(np.float32)
    result = measure(DepthImage(z, COLOR))
    assert result is not None
    np.testing.assert_allclose(result.depth(), z, rtol=1e-6)


def test_a_frame_without_depth_has_none() -> None:
    assert measure(None) is None


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_wild_values_never_reach_the_estimate(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.5, 5.0, (48, 64)).astype(np.float32)
    bad = rng.uniform(size=z.shape) < share
    wild = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e9, 1e-9], np.float32)
    z[bad] = rng.choice(wild, bad.sum())
    result = measure(DepthImage(z, COLOR))
    assert result is not None
    np.testing.assert_allclose(result.inverse_depth[~bad], 1 / z[~bad], rtol=1e-6)
    # bad pixels are unknown, or between neighbours that agree
    filled = result.inverse_depth[bad]
    assert ((filled == 0) | ((filled >= 0.2) & (filled <= 2.0))).all()
    known = result.inverse_depth > 0
    np.testing.assert_array_equal(np.isfinite(result.variance), known)
    np.testing.assert_array_equal(np.isfinite(result.depth()), known)


def test_a_range_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'depth.min_range: 30 is not below depth.max_range 20'):
        DepthConfig(min_range=30.0)


def test_variance_is_large_at_depth_edges() -> None:
    z = np.full((48, 64), 1.0, np.float32)
    z[:, 32:] = 4.0
    result = measure(DepthImage(z, COLOR))
    assert result is not None
    assert result.variance[24, 32] > 100 * result.variance[24, 10]


def test_a_steep_plane_is_no_step() -> None:
    """Its variance is the sensor's noise, and half a pixel of slope."""
    normal = np.array([0.1, 0.9, 0.3])
    z = plane_in(COLOR, normal, 1.0)
    z[(z < 0.2) | (z > 15.0)] = 0.0
    result = measure(DepthImage(z, COLOR))
    assert result is not None
    inner = np.isfinite(result.variance)[1:-1, 1:-1]
    assert inner.mean() > 0.5
    slope = (normal[0] ** 2 + normal[1] ** 2) / COLOR.fx**2
    expected = DepthConfig().noise ** 2 + slope / 12
    found = result.variance[1:-1, 1:-1][inner]
    assert np.median(found) == pytest.approx(expected, rel=0.01)
    assert found.max() < 1.01 * expected


def test_variance_knows_of_steps_two_pixels_away_and_no_farther() -> None:
    z = np.full((48, 64), 2.0, np.float32)
    z[:, 32:] = 1.5
    result = measure(DepthImage(z, COLOR))
    assert result is not None
    wide = result.variance[24] > 10 * DepthConfig().noise ** 2
    assert np.flatnonzero(wide).tolist() == [30, 31, 32, 33]


def test_single_missing_pixels_of_a_surface_are_filled() -> None:
    """Sensors that register their depth themselves leave a grid of such pixels."""
    z = plane_in(COLOR, np.array([0.1, 0.2, 0.95]), 2.0)
    holed = z.copy()
    holed[::7] = 0.0
    holed[:, ::9] = 0.0
    result = measure(DepthImage(holed, COLOR))
    assert result is not None
    np.testing.assert_allclose(result.depth()[1:-1, 1:-1], z[1:-1, 1:-1], rtol=1e-3)


def test_gaps_that_are_wider_or_lie_between_surfaces_stay_unknown() -> None:
    z = np.full((48, 64), 2.0, np.float32)
    z[:, 32:] = 4.0
    z[:, 31] = 0.0  # between the surfaces
    z[:, 50:52] = 0.0  # wider
    result = measure(DepthImage(z, COLOR))
    assert result is not None
    assert (result.inverse_depth[:, 31] == 0).all()
    assert (result.inverse_depth[:, 50:52] == 0).all()


def plane_in(camera: CameraModel, normal: np.ndarray, distance: float) -> np.ndarray:
    """Depth of the plane {x : normal . x = distance} in a camera's own axes."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(x.shape)], -1
    )
    with np.errstate(divide='ignore'):
        return (distance / (rays @ normal)).astype(np.float32)


@pytest.mark.parametrize(
    'color_from_depth',
    [np.eye(4), se3.exp(np.array([0.05, -0.02, 0.01, 0.01, 0.02, -0.03]))],
    ids=['one place', 'beside'],
)
def test_depth_of_another_camera_lands_on_the_right_pixels(color_from_depth: np.ndarray) -> None:
    depth_camera = CameraModel(96, 80, 90.0, 92.0, 47.0, 40.5)
    normal, distance = np.array([0.1, 0.2, 0.95]), 2.0  # in the colour camera
    rotation, translation = color_from_depth[:3, :3], color_from_depth[:3, 3]
    in_depth = plane_in(depth_camera, normal @ rotation, distance - normal @ translation)
    result = measure(DepthImage(in_depth, depth_camera, color_from_depth))
    assert result is not None
    expected = plane_in(COLOR, normal, distance)
    found = result.depth()[8:-8, 8:-8]
    assert np.isfinite(found).mean() > 0.97
    error = np.abs(found - expected[8:-8, 8:-8])
    assert np.nanmax(error) < 0.03  # a pixel of slope


def test_the_nearer_surface_hides_the_farther_one() -> None:
    z = np.full((48, 64), 4.0, np.float32)
    z[:, 20:40] = 1.0
    beside = se3.exp(np.array([0.3, 0, 0, 0, 0, 0.0]))
    result = measure(DepthImage(z, COLOR, beside))
    assert result is not None
    shifted = result.depth()[24]  # near pixels move by 18, far ones by 4.5
    assert np.nanmedian(shifted[40:56]) == pytest.approx(1.0, abs=1e-3)


def test_working_size_is_followed() -> None:
    z = np.full((48, 64), 2.0, np.float32)
    result = measure(DepthImage(z, COLOR), max_pixels=44 * 33)
    assert result is not None
    assert result.inverse_depth.shape == (33, 44)
    np.testing.assert_allclose(result.depth(), 2.0)
