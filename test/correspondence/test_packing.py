# SPDX-License-Identifier: Apache-2.0
"""What is kept comes back as it was."""

from pathlib import Path

import numpy as np
import pytest
from recordings import HeldPictures, moved, textured

from flowcam_ros.correspondence import packing
from flowcam_ros.correspondence.cache import ResultCache
from flowcam_ros.correspondence.config import FlowConfig, PairConfig
from flowcam_ros.correspondence.dense_pairs import dense_pairs
from flowcam_ros.correspondence.features import detect
from flowcam_ros.correspondence.pairs import find_pairs
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.correspondence.tracks import no_tracks, tracks_of_matches


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].dtype == two[name].dtype
        np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.parametrize('count', [0, 1, 3])
def test_correspondences_come_back_as_they_were(tmp_path: Path, count: int) -> None:
    """Of no picture, of one, and of two with a blank one between them."""
    picture = textured(0)
    shift = moved(picture, [[1, 0, 9], [0, 1, 3]])
    pictures = [picture, np.full_like(picture, 9), shift][:count]
    features = [detect(p, None, 300) for p in pictures]
    pairs = find_pairs(features, picture.shape, PairConfig())
    assert len(pairs) == (count == 3)
    for value, pack, unpack in (
        (features, packing.pack_features, packing.unpack_features),
        (pairs, packing.pack_pairs, packing.unpack_pairs),
        (tracks_of_matches(features, pairs), packing.pack_tracks, packing.unpack_tracks),
        (no_tracks(), packing.pack_tracks, packing.unpack_tracks),
    ):
        packed = pack(value)
        cache = ResultCache(tmp_path / str(id(value)), 10**8)
        cache.result('k', lambda packed=packed: packed)
        again = cache.result('k', dict)
        same(again, packed)
        same(pack(unpack(again)), packed)


def test_dense_flow_comes_back_as_it_was() -> None:
    picture = textured(1, 64, 80)
    pictures = HeldPictures([picture, moved(picture, [[1, 0, 2], [0, 1, 0]])])
    (pair,) = dense_pairs(make_flow(FlowConfig()), pictures, [(0, 1)], 10**6, 1.0)
    packed = packing.pack_dense_pair(pair)
    same(packing.pack_dense_pair(packing.unpack_dense_pair(packed)), packed)
