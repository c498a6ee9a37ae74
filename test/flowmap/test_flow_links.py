# SPDX-License-Identifier: Apache-2.0
"""Dense flow as the loss takes it: true positions, in the pixels of the tracking pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recordings import HeldPictures, moved, textured

from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.flowmap import flow_links as module
from flowcam_ros.flowmap.flow_links import flow_links, flow_pairs
from flowcam_ros.flowmap.links import LinkSource, PairLinks

CPU = torch.device('cpu')
# Pixels from one picture to the next.
STEP = (6.0, -4.0)


def slide(frames: int) -> list[np.ndarray]:
    picture = textured(5)
    return [moved(picture, [[1, 0, STEP[0] * k], [0, 1, STEP[1] * k]]) for k in range(frames)]


def links_of(pictures: HeldPictures, pixels: int = 20_000) -> PairLinks:
    flow = make_flow(FlowConfig(preset='medium'))
    return flow_links(flow, pictures, pixels, 1.0, CPU, 0, lambda _text: None)


def test_neighbours_and_wider_pairs_are_taken() -> None:
    assert flow_pairs(5) == [(0, 1), (0, 3), (1, 2), (1, 4), (2, 3), (3, 4)]
    assert flow_pairs(1) == []


def test_links_are_where_the_picture_moved_to() -> None:
    source = links_of(HeldPictures(slide(4)))
    assert isinstance(source, LinkSource)
    assert len(source) == 4
    links = source.draw(4000, np.random.default_rng(0))
    steps = (links.second - links.first).numpy()
    assert set(steps) == {1, 3}
    error = (links.target - links.source).numpy() - steps[:, None] * np.array(STEP)
    assert np.median(np.abs(error)) < 0.3
    # spread over the picture, and a confidence that differs
    assert links.source[:, 0].std() > 60 and links.source[:, 1].std() > 45
    confidence = links.confidence.numpy()
    assert confidence.min() > 0.19 and confidence.max() <= 1.0 and confidence.std() > 0.01


def test_masked_pixels_give_no_links() -> None:
    usable = np.ones((240, 320), bool)
    usable[:, 100:220] = False
    links = links_of(HeldPictures(slide(2), [usable] * 2)).draw(2000, np.random.default_rng(0))
    for pixels in (links.source, links.target):
        x = pixels[:, 0].numpy()
        assert not ((x > 102) & (x < 217)).any()


def test_flow_that_fails_gives_no_pair() -> None:
    unrelated = HeldPictures([textured(1), textured(2)])
    source = links_of(unrelated)
    assert len(source) == 0
    assert len(source.draw(10, np.random.default_rng(0)).first) == 0


def test_one_picture_has_no_flow() -> None:
    assert len(links_of(HeldPictures(slide(1)))) == 0


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, '_ALL', 400)
    source = links_of(HeldPictures(slide(4)))
    assert len(source) == 4
    assert len(np.unique(source.draw(20_000, np.random.default_rng(0)).source, axis=0)) <= 400
