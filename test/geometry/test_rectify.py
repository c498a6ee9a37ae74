# SPDX-License-Identifier: Apache-2.0
"""The rectifier: exact intrinsics, straight lines, unmixed depth, honest validity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.distortion import pixel_rays, project
from flowcam_ros.geometry.rectify import Rectifier

PLAIN = CameraModel(320, 240, 250.0, 248.0, 158.5, 121.0)
BARREL = CameraModel(
    320, 240, 250.0, 248.0, 158.5, 121.0, 'plumb_bob', (-0.3, 0.08, 1e-3, -1e-3, 0.0)
)
PINCUSHION = CameraModel(320, 240, 250.0, 248.0, 158.5, 121.0, 'plumb_bob', (0.3, 0.1, 0, 0, 0))
FISHEYE = CameraModel(
    320, 240, 200.0, 200.0, 160.0, 119.0, 'equidistant', (0.02, -0.01, 3e-3, -1e-3)
)
SIZES = [(320, 240), (160, 120), (203, 151), (77, 59), (480, 360)]


def picture_of_bars(camera: CameraModel) -> np.ndarray:
    """Return soft bars that are straight in space: sinusoids of the ideal coordinates."""
    x, y = np.moveaxis(pixel_rays(camera), -1, 0)
    return np.uint8(np.rint(127 + 60 * np.sin(14 * x) + 60 * np.sin(12 * y + 0.4)))


def test_nothing_to_do_returns_the_input_itself() -> None:
    rectifier = Rectifier(PLAIN, 320, 240)
    image = np.zeros((240, 320, 3), np.uint8)
    depth = np.zeros((240, 320), np.float32)
    mask = np.zeros((240, 320), bool)
    assert rectifier.image(image) is image
    assert rectifier.depth(depth) is depth
    assert rectifier.mask(mask) is mask
    assert rectifier.camera == PLAIN
    assert rectifier.valid.all()


@settings(max_examples=50, deadline=None)
@given(
    width=st.integers(20, 2000),
    height=st.integers(20, 2000),
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.4, 0.4),
)
def test_resizing_keeps_the_projection(width: int, height: int, x: float, y: float) -> None:
    camera = Rectifier(PLAIN, width, height).camera
    pixel = project(PLAIN, np.array([x, y, 1.0]))
    resized = (pixel + 0.5) * (width / 320, height / 240) - 0.5
    np.testing.assert_allclose(project(camera, np.array([x, y, 1.0])), resized, atol=1e-6)


@pytest.mark.parametrize('camera', [BARREL, PINCUSHION, FISHEYE])
@pytest.mark.parametrize('size', SIZES)
def test_undistorted_picture_is_what_the_pinhole_would_see(
    camera: CameraModel, size: tuple[int, int]
) -> None:
    rectifier = Rectifier(camera, *size)
    assert rectifier.camera == camera.without_distortion().resized(*size)
    found = rectifier.image(picture_of_bars(camera)).astype(float)
    expected = picture_of_bars(rectifier.camera).astype(float)
    difference = np.abs(found - expected)[rectifier.valid]
    assert rectifier.valid.mean() > 0.5
    # Bars of 20 source pixels: interpolation and averaging cost a few grey levels at 4x.
    assert np.percentile(difference, 99) < (4.0 if size[0] > 100 else 9.0)
    assert difference.mean() < (1.5 if size[0] > 100 else 4.0)


def test_a_straight_line_becomes_straight() -> None:
    x, y = np.moveaxis(pixel_rays(BARREL), -1, 0)
    distance = np.abs(0.3 * x + y - 0.25) * 250.0
    line = np.uint8(255 * np.exp(-0.5 * (distance / 1.5) ** 2))
    rectifier = Rectifier(BARREL, 320, 240)
    straight = rectifier.image(line).astype(float)
    columns = np.arange(40, 280)
    rows = (straight * np.arange(240)[:, None]).sum(0)[columns] / straight.sum(0)[columns]
    residual = rows - np.polyval(np.polyfit(columns, rows, 1), columns)
    assert np.abs(residual).max() < 0.1
    bent = line.astype(float)
    rows = (bent * np.arange(240)[:, None]).sum(0)[columns] / bent.sum(0)[columns]
    assert np.abs(rows - np.polyval(np.polyfit(columns, rows, 1), columns)).max() > 1.0


@pytest.mark.parametrize('camera', [PLAIN, BARREL, PINCUSHION, FISHEYE])
@pytest.mark.parametrize('size', SIZES)
def test_depth_is_never_mixed(camera: CameraModel, size: tuple[int, int]) -> None:
    depth = np.where(np.random.default_rng(0).random((240, 320)) < 0.5, 1.0, 5.0)
    rectifier = Rectifier(camera, *size)
    out = rectifier.depth(depth.astype(np.float32))
    assert out.shape == (size[1], size[0])
    assert set(np.unique(out)) <= {0.0, 1.0, 5.0}
    assert not out[~rectifier.valid].any()
    assert out[rectifier.valid].all()


@pytest.mark.parametrize('camera', [PLAIN, BARREL])
def test_resized_depth_is_of_the_nearest_pixel(camera: CameraModel) -> None:
    columns = np.broadcast_to(np.arange(320, dtype=np.float32), (240, 320)) + 1.0
    rectifier = Rectifier(camera, 107, 80)
    rays = np.concatenate([pixel_rays(rectifier.camera), np.ones((80, 107, 1))], -1)
    expected = project(camera, rays)[..., 0] + 1.0
    found = rectifier.depth(columns)
    assert np.abs(found - expected)[rectifier.valid].max() <= 0.51


@pytest.mark.parametrize('camera', [PLAIN, PINCUSHION, FISHEYE])
def test_mask_is_false_outside(camera: CameraModel) -> None:
    rectifier = Rectifier(camera, 160, 120)
    np.testing.assert_array_equal(rectifier.mask(np.ones((240, 320), bool)), rectifier.valid)
    assert not rectifier.mask(np.zeros((240, 320), bool)).any()
    assert rectifier.mask(np.ones((240, 320), bool)).dtype == bool


def test_pincushion_shows_less_than_the_frame_and_says_so() -> None:
    rectifier = Rectifier(PINCUSHION, 320, 240)
    assert not rectifier.valid[0, 0]
    assert rectifier.valid[120, 160]
    image = rectifier.image(np.full((240, 320), 200, np.uint8))
    assert (image[rectifier.valid] == 200).all()
    assert not image[~rectifier.valid].any()


def test_the_mirrored_picture_beyond_the_rim_is_not_valid() -> None:
    folding = CameraModel(320, 240, 120, 120, 159.5, 119.5, 'plumb_bob', (-0.5, 0, 0, 0, 0))
    rectifier = Rectifier(folding, 320, 240)
    radius = np.linalg.norm(pixel_rays(rectifier.camera), axis=-1)
    rim = np.sqrt(1 / 1.5)
    assert not rectifier.valid[radius > rim + 0.02].any()
    assert rectifier.valid[radius < rim - 0.02].all()


def test_an_image_of_another_size_is_rejected_with_both_sizes() -> None:
    rectifier = Rectifier(BARREL, 160, 120)
    for use, dtype in (
        (rectifier.image, np.uint8),
        (rectifier.depth, np.float32),
        (rectifier.mask, bool),
    ):
        with pytest.raises(FrameRejected, match=r'100x50.*320x240') as caught:
            use(np.zeros((50, 100), dtype))
        assert caught.value.reason == 'size'
