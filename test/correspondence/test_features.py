# SPDX-License-Identifier: Apache-2.0
"""Features: where they lie, how they are spread, and that they find each other again."""

import cv2
import numpy as np
import pytest
from recordings import moved, textured

from flowcam_ros.correspondence.features import Features, detect
from flowcam_ros.correspondence.matching import match, unit_vectors


def test_features_are_as_many_as_asked_for_and_spread() -> None:
    picture = textured(0)
    picture[:, 160:] = (picture[:, 160:] // 4) + 96  # weaker in one half
    features = detect(picture, None, 200)
    assert len(features) == 200
    assert features.descriptors.dtype == np.uint8
    left = (features.pixels[:, 0] < 160).mean()
    assert 0.3 < left < 0.7


def test_no_two_features_lie_at_one_place() -> None:
    features = detect(textured(1), None, 5000)
    assert len(np.unique(features.pixels, axis=0)) == len(features)


def test_features_lie_where_it_is_allowed() -> None:
    usable = np.zeros((240, 320), bool)
    usable[100:, 50:200] = True
    features = detect(textured(2), usable, 500)
    assert len(features) > 50
    assert features.pixels.min(0).tolist() >= [49.5, 99.5]
    assert features.pixels[:, 0].max() < 199.5


def test_positions_are_right_to_a_tenth_of_a_pixel() -> None:
    """A round spot whose centre is at integer coordinates, by the convention of OpenCV."""
    y, x = np.mgrid[0:120, 0:160].astype(np.float32)
    centre = np.array([80.0, 60.0])
    spot = 40 + 150 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 4.0**2))
    features = detect(spot.astype(np.uint8), None, 10)
    distance = np.linalg.norm(features.pixels - centre, axis=1)
    assert distance.min() < 0.1


@pytest.mark.parametrize('size', [(8, 8), (32, 200), (240, 320)])
def test_pictures_without_anything_give_no_features(size: tuple[int, int]) -> None:
    features = detect(np.full(size, 90, np.uint8), None, 100)
    assert features.pixels.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)


def test_a_mask_everywhere_gives_no_features() -> None:
    assert len(detect(textured(3), np.zeros((240, 320), bool), 100)) == 0


def test_the_same_picture_gives_the_same_features() -> None:
    one, two = detect(textured(4), None, 300), detect(textured(4), None, 300)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.descriptors, two.descriptors)


def matched(one: Features, two: Features) -> np.ndarray:
    return match(unit_vectors(one.descriptors), unit_vectors(two.descriptors), 0.85)


def test_features_are_found_again_after_turning_and_growing() -> None:
    picture = textured(5)
    matrix = cv2.getRotationMatrix2D((160, 120), 35, 1.3)
    one, two = detect(picture, None, 600), detect(moved(picture, matrix), None, 600)
    index = matched(one, two)
    there = one.pixels[index[:, 0]] @ matrix[:, :2].T + matrix[:, 2]
    error = np.linalg.norm(there - two.pixels[index[:, 1]], axis=1)
    assert len(index) > 100
    assert np.median(error) < 0.5
    assert (error < 2).mean() > 0.95


def test_each_feature_has_at_most_one_match() -> None:
    one, two = detect(textured(6), None, 400), detect(textured(7), None, 300)
    index = matched(one, two)
    assert index.dtype == np.int32
    assert (np.unique(index[:, 0]).size, np.unique(index[:, 1]).size) == (len(index), len(index))


def test_unrelated_pictures_hardly_match() -> None:
    one, two = detect(textured(8), None, 400), detect(textured(9), None, 400)
    assert len(matched(one, two)) < 20


def test_a_feature_that_occurs_twice_has_no_match() -> None:
    vectors = unit_vectors(np.random.default_rng(0).integers(0, 256, (50, 128), np.uint8))
    twice = np.concatenate([vectors, vectors[:10]])
    index = match(vectors, twice, 0.85)
    assert sorted(index[:, 0].tolist()) == list(range(10, 50))


@pytest.mark.parametrize('count', [0, 1])
def test_too_few_features_to_compare_give_no_match(count: int) -> None:
    vectors = unit_vectors(np.full((count, 128), 9, np.uint8))
    assert match(vectors, vectors, 0.85).shape == (0, 2)
