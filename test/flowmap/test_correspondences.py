# SPDX-License-Identifier: Apache-2.0
"""Correspondences that were found before are not sought again, and are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import HeldPictures, moved, textured

from flowcam_ros.correspondence.cache import ResultCache
from flowcam_ros.flowmap.correspondences import Correspondences, find_correspondences
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.settings import build

CPU = torch.device('cpu')
SMALL = {'pairs.features': 300, 'tracks.points': 100}


@pytest.fixture(scope='module')
def pictures() -> HeldPictures:
    picture = textured(0)
    return HeldPictures([moved(picture, [[1, 0, 7 * k], [0, 1, 3 * k]]) for k in range(4)])


class Search:
    """Searches with a cache, and notes which parts were not found there."""

    def __init__(self, folder: Path) -> None:
        self._cache = ResultCache(folder, 10**9)

    def __call__(
        self, pictures: HeldPictures, **options: object
    ) -> tuple[Correspondences, set[str]]:
        notes: list[str] = []
        config = build(RefineConfig, {**SMALL, **options})
        found = find_correspondences(pictures, config, CPU, notes.append, self._cache)
        parts = ('features of', 'pairs of', 'points through')
        return found, {p.split()[0] for p in parts if any(n.startswith(p) for n in notes)}


ALL = {'features', 'pairs', 'points'}


def assert_same(one: Correspondences, other: Correspondences) -> None:
    assert len(one.pairs) == len(other.pairs) > 3
    for mine, theirs in zip(one.pairs, other.pairs, strict=True):
        assert (mine.first, mine.second, mine.planar) == (
            theirs.first,
            theirs.second,
            theirs.planar,
        )
        for name in ('index', 'source', 'target'):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    for mine, theirs in ((one.matched, other.matched), (one.followed, other.followed)):
        assert len(mine.point) > 100
        for name in ('point', 'frame', 'pixel', 'sigma'):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_a_second_search_finds_everything_and_the_same(
    pictures: HeldPictures, tmp_path: Path
) -> None:
    config = build(RefineConfig, SMALL)
    plain = find_correspondences(pictures, config, CPU, lambda _: None)
    first, sought = Search(tmp_path)(pictures)
    assert sought == ALL
    second, sought = Search(tmp_path)(pictures)
    assert sought == set()
    assert_same(plain, first)
    assert_same(plain, second)


@pytest.mark.parametrize(
    ('option', 'value', 'sought'),
    [
        ('pairs.features', 250, {'features', 'pairs'}),
        ('pairs.ratio', 0.8, {'pairs'}),
        ('tracks.points', 90, {'points'}),
        ('flow.preset', 'medium', {'points'}),
        ('flow.weights', 'w.safetensors', {'points'}),
        ('tracks.backend', 'none', set()),
        ('optimizer.steps', 7, set()),
        ('threads', 1, set()),
    ],
)
def test_only_what_depends_on_a_changed_option_is_sought_again(
    pictures: HeldPictures, tmp_path: Path, option: str, value: object, sought: set[str]
) -> None:
    search = Search(tmp_path)
    search(pictures)
    assert search(pictures, **{option: value})[1] == sought
    assert search(pictures, **{option: value})[1] == set(), 'and is kept, too'


def test_weights_count_by_their_content(pictures: HeldPictures, tmp_path: Path) -> None:
    search, weights = Search(tmp_path / 'cache'), tmp_path / 'w'
    for content, sought in ((b'1', {'points'}), (b'2', {'points'}), (b'1', set())):
        weights.write_bytes(content)
        found = search(pictures, **{'flow.weights': str(weights), 'pairs.features': 300})[1]
        assert found - {'features', 'pairs'} == sought


def test_other_pictures_and_other_masks_are_sought_anew(
    pictures: HeldPictures, tmp_path: Path
) -> None:
    search = Search(tmp_path)
    search(pictures)
    greys = [g.copy() for g in pictures.greys]
    greys[2][5, 5] ^= 1
    assert search(HeldPictures(greys))[1] == ALL
    mask = np.ones(greys[0].shape, bool)
    mask[:20] = False
    assert search(HeldPictures(pictures.greys, [mask] * 4))[1] == ALL


def test_a_damaged_part_is_sought_again_and_told(
    pictures: HeldPictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search = Search(tmp_path)
    whole = search(pictures)[0]
    (file,) = tmp_path.glob('tracks-*')
    file.write_bytes(file.read_bytes()[:-100])
    found, sought = search(pictures)
    assert sought == {'points'}
    assert_same(found, whole)
    assert f'{file} is damaged' in caplog.text
