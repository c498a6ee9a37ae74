# SPDX-License-Identifier: Apache-2.0
"""Evened pictures: alike in any light, and noise does not become texture."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcam_ros.correspondence.points import refine_points, select_points, texture_map
from flowcam_ros.geometry.photometry import even_out, image_noise

HEIGHT, WIDTH = 240, 320


def picture(seed: int) -> np.ndarray:
    """Return a picture with structure of every size, float32, hardly below 20 or above 160."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    blurred = sum(cv2.GaussianBlur(field, (0, 0), s) * s for s in (1.5, 4.0, 12.0))
    return np.clip(90 + 35 * (blurred - blurred.mean()) / blurred.std(), 10, 160)


def taken(light: np.ndarray, seed: int, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(light + noise * rng.normal(size=light.shape)), 0, 255).astype(np.uint8)


def bars(share: float, phase: float) -> np.ndarray:
    """Return the brightness of rows under a lamp that flickers."""
    rows = np.arange(HEIGHT)[:, None]
    return 1 - share * (0.5 + 0.5 * np.cos(2 * np.pi * rows / 90 + phase))


def vignette() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return 1 - 0.4 * ((x - 160) ** 2 + (y - 120) ** 2) / 200**2


LIGHTS = {
    'brighter': (1.0, 1.6),
    'darker': (1.0, 0.4),
    'drift': (1.0, 0.93),
    'bars': (bars(0.5, 0.0), bars(0.5, 2.1)),
    'vignette': (vignette(), vignette()),
    'offset': (1.0, None),
}


@pytest.mark.parametrize('light', LIGHTS)
def test_points_are_as_accurate_in_any_light(light: str) -> None:
    """Lucas-Kanade on evened pictures, against the same without any change of the light."""
    first, second = LIGHTS[light]
    scene, shift = picture(1), np.array([3.4, -2.3], np.float32)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved = cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
    moved = moved + 40 if second is None else moved * second
    errors, sigmas = matched(taken(scene * first, 2), taken(moved, 3), shift)
    assert np.median(errors) < 0.15
    assert np.percentile(errors, 90) < 0.4
    assert 0.2 < np.median(errors / sigmas) / 1.1774 < 1.5


def matched(source: np.ndarray, target: np.ndarray, shift: np.ndarray) -> tuple:
    """Return errors and sigmas of the points of a picture that moved; most must be valid."""
    before, after = even_out(source), even_out(target)
    texture = texture_map(source)
    points = select_points(texture, None, 400)
    points = points[(points > 30).all(1) & (points < (WIDTH - 30, HEIGHT - 30)).all(1)]
    at = points.astype(int)
    strength = texture[at[:, 1], at[:, 0]] * before.gain_at(points) ** 2
    start = points + shift + np.float32(1.0)
    found = refine_points(before.fine, after.fine, points, strength, start, 1.0)
    assert found.valid.mean() > 0.95
    errors = np.linalg.norm(found.target - points - shift, axis=1)
    return errors[found.valid], found.sigma[found.valid]


@given(gain=st.floats(0.5, 1.7), offset=st.floats(0, 10))
def test_gain_and_offset_leave_hardly_a_trace(gain: float, offset: float) -> None:
    scene = picture(4)
    one, other = even_out(taken(scene, 5)), even_out(taken(gain * scene + offset, 6))
    for a, b in ((one.fine, other.fine), (one.broad, other.broad)):
        assert np.abs(a.astype(float) - b).mean() < 0.12 * a.std()


def test_rows_of_the_broad_picture_are_alike_under_bars() -> None:
    scene = picture(7)
    plain, barred = even_out(taken(scene, 8)), even_out(taken(scene * bars(0.5, 1.0), 8))
    rows = [form.broad.mean(1, dtype=float) for form in (plain, barred)]
    away_from_the_rim = np.abs(rows[0] - rows[1])[20:-20]
    assert away_from_the_rim.max() < 8


def test_the_broad_picture_keeps_large_structure_that_the_fine_one_loses() -> None:
    scene = np.full((HEIGHT, WIDTH), 60.0)
    scene[:, 160:] = 140
    evened = even_out(taken(scene, 9))
    steps = [
        float(f[:, 280:].mean()) - float(f[:, :40].mean()) for f in (evened.fine, evened.broad)
    ]
    assert abs(steps[0]) < 2
    assert steps[1] > 40


@pytest.mark.parametrize('noise', [0.5, 2.0, 6.0])
def test_noise_of_a_blank_wall_stays_low(noise: float) -> None:
    evened = even_out(taken(np.full((HEIGHT, WIDTH), 90.0), 10, noise))
    assert evened.fine.std() < 12
    assert evened.broad.std() < 12


@pytest.mark.parametrize('value', [0, 90, 255])
def test_a_picture_of_one_value_stays_one(value: int) -> None:
    evened = even_out(np.full((HEIGHT, WIDTH), value, np.uint8))
    assert np.ptp(evened.fine) <= 1
    assert np.isfinite(evened.gain).all()


@pytest.mark.parametrize('size', [(32, 32), (33, 57), (241, 323)])
def test_any_size_is_covered(size: tuple[int, int]) -> None:
    evened = even_out(np.random.default_rng(0).integers(0, 255, size, np.uint8))
    assert evened.fine.shape == evened.broad.shape == size
    corners = np.array([[0, 0], [size[1] - 1, size[0] - 1]], np.float32)
    assert (evened.gain_at(corners) == evened.gain[[0, -1], [0, -1]]).all()


@pytest.mark.parametrize('sigma', [1.0, 3.0, 8.0])
def test_noise_is_measured_in_spite_of_texture(sigma: float) -> None:
    smooth = cv2.GaussianBlur(picture(11), (0, 0), 3.0)
    assert image_noise(taken(smooth, 12, sigma)) == pytest.approx(sigma, rel=0.2, abs=0.2)
