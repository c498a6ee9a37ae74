# SPDX-License-Identifier: Apache-2.0
"""Dense flow of pairs: true where it is trusted, and trusted only where both ends are usable."""

import numpy as np
import pytest
from recordings import HeldPictures, moved, rendered, textured

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.dense_pairs import DensePair, dense_pairs
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.sequences.synthetic import flow_between


def dense(pictures: HeldPictures, pairs: list, max_pixels: int = 10**6) -> list[DensePair]:
    flow = make_flow(FlowConfig(preset='medium'))
    return list(dense_pairs(flow, pictures, pairs, max_pixels, 1.0))


def test_trusted_flow_is_true_both_ways() -> None:
    world = rendered('orbit?frames=24&width=320&height=240&noise=2')
    (pair,) = dense(world.pictures, [(3, 5)])
    assert (pair.first, pair.second) == (3, 5)
    for found, ends in ((pair.forward, (3, 5)), (pair.backward, (5, 3))):
        truth = flow_between(*(world.views[e] for e in ends))
        error = np.linalg.norm(found.displacement - truth.displacement, axis=-1)
        trusted = found.confidence > 0.5
        assert trusted.mean() > 0.6
        assert np.median(error[trusted]) < 0.3
        assert np.mean(error[~trusted]) > 2 * np.mean(error[trusted])


def test_what_leaves_the_picture_is_not_trusted() -> None:
    picture = textured(0)
    pictures = HeldPictures([picture, moved(picture, [[1, 0, 30], [0, 1, 0]])])
    (pair,) = dense(pictures, [(0, 1)])
    assert (pair.forward.confidence[:, 295:] == 0).all()
    assert pair.forward.confidence[20:-20, 40:240].mean() > 0.8


def test_masks_hold_at_both_ends() -> None:
    picture = textured(1)
    shift = moved(picture, [[1, 0, 20], [0, 1, 0]])
    usable = np.ones(picture.shape, bool)
    usable[:, 150:200] = False
    (pair,) = dense(HeldPictures([picture, shift], [usable, usable]), [(0, 1)])
    assert (pair.forward.confidence[:, 150:200] == 0).all()
    assert (pair.forward.confidence[20:-20, 133:178] == 0).all()
    assert pair.forward.confidence[20:-20, 205:280].mean() > 0.7
    assert (pair.backward.confidence[20:-20, 172:218] == 0).all()


@pytest.mark.parametrize('max_pixels', [5000, 20000, 10**6])
def test_pictures_are_reduced_to_what_is_allowed(max_pixels: int) -> None:
    picture = textured(2)
    pictures = HeldPictures([picture, picture], [np.ones(picture.shape, bool)] * 2)
    (pair,) = dense(pictures, [(0, 1)], max_pixels)
    height, width = pair.forward.confidence.shape
    assert height * width <= 1.03 * min(max_pixels, picture.size)
    assert pair.forward.displacement.shape == (height, width, 2)
    assert abs(width / height - 4 / 3) < 0.05


def test_masks_everywhere_and_blank_pictures_are_no_trouble() -> None:
    picture = textured(3)
    masks = [np.zeros(picture.shape, bool)] * 2
    (pair,) = dense(HeldPictures([picture, picture], masks), [(0, 1)])
    assert not pair.forward.confidence.any()
    assert not pair.backward.confidence.any()
    (blank,) = dense(HeldPictures([np.full((40, 60), 9, np.uint8)] * 2), [(0, 1)])
    assert np.isfinite(blank.forward.displacement).all()


def test_each_picture_is_read_once_for_a_chain_of_pairs() -> None:
    asked: list[int] = []

    class Counted(HeldPictures):
        def grey(self, index: int) -> np.ndarray:
            asked.append(index)
            return super().grey(index)

    pictures = Counted([textured(k, 64, 64) for k in range(12)])
    assert len(dense(pictures, [(k, k + 1) for k in range(11)])) == 11
    assert asked == list(range(12))
    assert dense(pictures, []) == []
