# SPDX-License-Identifier: Apache-2.0
"""Points: chosen where there is texture, refined to a fraction of a pixel."""

import cv2
import numpy as np
import pytest

from flowcam_ros.correspondence.points import (
    refine_points,
    search_points,
    select_points,
    texture_map,
)


def texture(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    blurred = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 12.0))
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_texture_is_the_mean_squared_derivative() -> None:
    """Waves as long as the window, so that each window holds a whole one."""
    y, x = np.mgrid[0:64, 0:64]
    turn = 2 * np.pi / 7
    image = (128 + 40 * np.sin(turn * x) + 40 * np.sin(turn * y)).astype(np.float32)
    central_difference = 40 * np.sin(turn)
    measured = np.median(texture_map(np.round(image).astype(np.uint8))[8:-8, 8:-8])
    assert measured == pytest.approx(0.5 * central_difference**2, rel=0.1)


def test_points_lie_where_there_is_texture_and_permission() -> None:
    image = texture(0)
    image[:, 160:] = 100
    usable = np.ones(image.shape, bool)
    usable[:120] = False
    points = select_points(texture_map(image), usable, 500)
    assert len(points) > 50
    assert points[:, 0].max() <= 163
    assert points[:, 1].min() >= 120


def test_points_are_well_spread() -> None:
    points = select_points(texture_map(texture(1)), None, 400)
    per_quarter = np.histogram2d(points[:, 0], points[:, 1], [[0, 160, 320], [0, 120, 240]])[0]
    assert per_quarter.min() > 0.6 * per_quarter.max()
    assert 250 < len(points) < 500


def test_cells_that_are_taken_give_no_point() -> None:
    strength = texture_map(texture(2))
    points = select_points(strength, None, 300)
    assert len(select_points(strength, None, 300, taken=points)) == 0


def test_a_blank_picture_gives_no_points() -> None:
    assert select_points(texture_map(np.full((240, 320), 80, np.uint8)), None, 500).shape == (0, 2)


def refine(image: np.ndarray, target: np.ndarray, start_error: float) -> tuple:
    strength = texture_map(image)
    points = select_points(strength, None, 300)
    at = points.astype(int)
    start = points + np.float32(start_error)
    return points, refine_points(image, target, points, strength[at[:, 1], at[:, 0]], start, 1.0)


def test_refinement_reaches_a_fraction_of_a_pixel() -> None:
    image = texture(3)
    shift = np.array([2.4, -1.3], np.float32)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    target = cv2.warpAffine(image, matrix, (320, 240), flags=cv2.INTER_CUBIC)
    points, refined = refine(image, target, 1.5)
    error = np.linalg.norm(refined.target - points - shift, axis=1)
    assert refined.valid.mean() > 0.9
    assert np.median(error[refined.valid]) < 0.1
    assert (refined.sigma[refined.valid] > 0.03).all()


def test_points_are_found_again_without_any_guess() -> None:
    image = cv2.resize(texture(4), (640, 480), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[1, 0, 40], [0, 1, 0]], np.float32)
    target = cv2.warpAffine(image, matrix, (640, 480))
    strength = texture_map(image)
    points = select_points(strength, None, 300)
    at = points.astype(int)
    found = search_points(image, target, points, strength[at[:, 1], at[:, 0]], 1.0)
    stays = points[:, 0] < 560
    error = np.linalg.norm(found.target - points - [40, 0], axis=1)
    assert (found.valid & stays & (error < 0.5)).sum() > 0.7 * stays.sum()


def test_noise_and_weak_texture_widen_the_error() -> None:
    image = texture(5)
    rng = np.random.default_rng(0)
    noisy = np.clip(image + rng.normal(scale=12, size=image.shape), 0, 255).astype(np.uint8)
    _, clean = refine(image, image, 0.0)
    _, dirty = refine(image, noisy, 0.0)
    assert np.median(dirty.sigma[dirty.valid]) > np.median(clean.sigma[clean.valid])


def test_unrelated_pictures_match_hardly_anything() -> None:
    _, refined = refine(texture(6), texture(7), 0.0)
    assert refined.valid.mean() < 0.2
    assert np.isfinite(refined.sigma).all()


def test_no_points_are_no_trouble() -> None:
    image = texture(8)
    none = np.zeros((0, 2), np.float32)
    refined = refine_points(image, image, none, np.zeros(0, np.float32), none, 1.0)
    assert len(refined.target) == len(refined.valid) == 0
