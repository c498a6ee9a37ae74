# SPDX-License-Identifier: Apache-2.0
"""Pairs of pictures: which are found, and whether what corresponds in them is true."""

from pathlib import Path

import numpy as np
import pytest
from recordings import HeldPictures, moved, recorded, rendered, textured
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from flowcam_ros.correspondence.config import PairConfig
from flowcam_ros.correspondence.features import Features, detect
from flowcam_ros.correspondence.pairs import (
    PairMatcher,
    PairMatches,
    find_pairs,
    pairs_in_time,
)
from flowcam_ros.correspondence.pictures import Pictures
from flowcam_ros.correspondence.retrieval import likeness, most_alike, picture_descriptors

ORBIT = 'orbit?frames=120&width=320&height=240&noise=2'


def features_of(pictures: HeldPictures, count: int = 800) -> list[Features]:
    indices = range(len(pictures))
    return [detect(pictures.grey(i), pictures.usable(i), count) for i in indices]


def groups(pairs: list[PairMatches], pictures: int) -> int:
    ends = np.array([(p.first, p.second) for p in pairs]).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(pairs)), ends), (pictures, pictures))
    return connected_components(graph, directed=False)[0]


@pytest.fixture(scope='module')
def orbit_pairs() -> list[PairMatches]:
    pictures = rendered(ORBIT, step=6).pictures
    return find_pairs(features_of(pictures), (240, 320), PairConfig())


def test_the_pictures_follow_the_protocol() -> None:
    assert isinstance(rendered(ORBIT, step=6).pictures, Pictures)


def test_what_corresponds_is_true(orbit_pairs: list[PairMatches]) -> None:
    world = rendered(ORBIT, step=6)
    errors = [world.error(p.first, p.second, p.source, p.target) for p in orbit_pairs]
    assert np.mean([np.median(e) < 1.0 for e in errors]) > 0.95
    assert (np.concatenate(errors) < 2.0).mean() > 0.85


def test_all_pictures_are_connected(orbit_pairs: list[PairMatches]) -> None:
    assert groups(orbit_pairs, 20) == 1


def test_matches_name_the_features_they_are_of(orbit_pairs: list[PairMatches]) -> None:
    features = features_of(rendered(ORBIT, step=6).pictures)
    for p in orbit_pairs[::7]:
        np.testing.assert_array_equal(features[p.first].pixels[p.index[:, 0]], p.source)
        np.testing.assert_array_equal(features[p.second].pixels[p.index[:, 1]], p.target)
        assert p.first < p.second


def test_the_same_pictures_give_the_same_pairs(orbit_pairs: list[PairMatches]) -> None:
    features = features_of(rendered(ORBIT, step=6).pictures)
    again = find_pairs(features, (240, 320), PairConfig())
    assert [(p.first, p.second) for p in again] == [(p.first, p.second) for p in orbit_pairs]
    for one, two in zip(again, orbit_pairs, strict=True):
        np.testing.assert_array_equal(one.index, two.index)
        assert one.planar == two.planar


def test_planar_tells_turning_from_moving() -> None:
    shares = []
    for text in ('rotation?frames=13&width=320&height=240', ORBIT):
        pictures = HeldPictures(rendered(text, step=12).pictures.greys[:2])
        matcher = PairMatcher(features_of(pictures), (240, 320), PairConfig())
        found = matcher.pair(0, 1)
        assert found is not None
        shares.append(found.planar)
    assert shares[0] > 0.95
    assert shares[1] < shares[0] - 0.1


def test_a_return_to_the_start_is_found_by_likeness() -> None:
    """Six places, each seen twice, the second time turned; nothing links them in time."""
    places = [textured(k) for k in range(6)]
    turned = [moved(p, [[0.97, 0.2, -10], [-0.2, 0.97, 25]]) for p in places]
    pictures = HeldPictures([*places, *turned])
    features = features_of(pictures, 500)
    alike = likeness(picture_descriptors(features), apart=2)
    assert most_alike(alike, 1) == [(k, k + 6) for k in range(6)]
    config = PairConfig(neighbours=1, wider_steps=0, loop_candidates=2)
    found = find_pairs(features, (240, 320), config)
    assert [(p.first, p.second) for p in found] == [(k, k + 6) for k in range(6)]


def test_pairs_in_time_are_neighbours_and_wider_steps() -> None:
    config = PairConfig(neighbours=2, wider_steps=2)
    steps = sorted({b - a for a, b in pairs_in_time(20, config)})
    assert steps == [1, 2, 4, 8]
    assert pairs_in_time(1, config) == []
    assert pairs_in_time(3, config) == [(0, 1), (1, 2), (0, 2)]


@pytest.mark.parametrize('count', [0, 1, 2, 3])
def test_blank_pictures_have_no_pairs(count: int) -> None:
    blank = HeldPictures([np.full((64, 64), 100, np.uint8)] * count)
    assert find_pairs(features_of(blank), (64, 64), PairConfig()) == []


def test_a_blank_picture_among_others_is_left_alone() -> None:
    picture = textured(3)
    pictures = HeldPictures([picture, np.full_like(picture, 7), moved(picture, np.eye(3)[:2])])
    found = find_pairs(features_of(pictures), (240, 320), PairConfig())
    assert [(p.first, p.second) for p in found] == [(0, 2)]


@pytest.mark.parametrize('name', ['llff_fern', 'hololens_rot'])
def test_real_pictures_are_connected(shared_data: Path, name: str) -> None:
    pictures, _, _ = recorded(shared_data / name, 200_000)
    features = features_of(pictures, 1500)
    found = find_pairs(features, pictures.grey(0).shape, PairConfig())
    assert groups(found, len(pictures)) == 1


@pytest.mark.slow
def test_photographs_of_an_orbit_are_connected_by_few_and_true_pairs(shared_data: Path) -> None:
    """The 50 photographs of the fox; the next of picture 30 shows nothing that it shows."""
    pictures, camera, poses = recorded(shared_data / 'fox', 500_000)
    found = find_pairs(features_of(pictures, 2000), pictures.grey(0).shape, PairConfig())
    assert groups(found, 50) == 1
    assert len(found) < 500
    wrong = [np.median(epipolar_error(p, camera.matrix, poses)) > 3 for p in found]
    assert np.mean(wrong) < 0.04


def epipolar_error(pair: PairMatches, matrix: np.ndarray, poses: list) -> np.ndarray:
    """Return the distance of each target from its true epipolar line, pixels."""
    motion = np.linalg.inv(poses[pair.second]) @ poses[pair.first]
    x, y, z = motion[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    inverse = np.linalg.inv(matrix)
    fundamental = inverse.T @ cross @ motion[:3, :3] @ inverse
    lines = np.c_[pair.source, np.ones(len(pair.source))] @ fundamental.T
    along = (np.c_[pair.target, np.ones(len(pair.target))] * lines).sum(1)
    return np.abs(along) / np.linalg.norm(lines[:, :2], axis=1)
