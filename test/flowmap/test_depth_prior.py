# SPDX-License-Identifier: Apache-2.0
"""A depth model of transformers, of random weights: what is taken from it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from depth_models import SETTINGS, save_depth_anything

from flowcam_ros.errors import ConfigError
from flowcam_ros.flowmap.depth_prior import DepthPrior, ShapeTargets
from flowcam_ros.flowmap.depth_targets import Targets
from flowcam_ros.flowmap.maps import Maps

CPU = torch.device('cpu')


def picture(height: int = 96, width: int = 128) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_a_folder_answers_relative_inverse_depth(tmp_path: Path) -> None:
    found = DepthPrior(save_depth_anything(tmp_path), CPU).inverse_depth(picture())
    assert found.shape == (56, 70)  # the shape of the picture, in multiples of 14
    assert np.isfinite(found).all() and found.std() > 0


def test_a_model_that_tells_depth_is_turned_round(tmp_path: Path) -> None:
    depth = DepthPrior(save_depth_anything(tmp_path / 'depth', 'metric'), CPU).inverse_depth(
        picture()
    )
    assert (depth > 0).all() and depth.max() <= 1e3


def test_pictures_are_squeezed_where_the_model_wants_one_size(tmp_path: Path) -> None:
    folder = save_depth_anything(tmp_path, keep_aspect_ratio=False)
    assert DepthPrior(folder, CPU).inverse_depth(picture()).shape == (56, 56)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'model\.depth_prior: .*nowhere is not there'):
        DepthPrior(str(tmp_path / 'nowhere'), CPU)
    with pytest.raises(ConfigError, match=r'has no readable preprocessor_config\.json'):
        DepthPrior(str(tmp_path), CPU)
    file = tmp_path / 'preprocessor_config.json'
    file.write_text('{"size": 3}', encoding='utf-8')
    with pytest.raises(ConfigError, match='does not say how pictures are prepared'):
        DepthPrior(str(tmp_path), CPU)
    pytest.importorskip('transformers', reason='the extra prior is not installed')
    file.write_text(json.dumps(SETTINGS), encoding='utf-8')
    with pytest.raises(ConfigError, match='holds no depth model of transformers') as caught:
        DepthPrior(str(tmp_path), CPU)
    assert '\n' not in str(caught.value)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = save_depth_anything(tmp_path)
    (weights,) = tmp_path.rglob('*.safetensors')
    weights.write_bytes(b'nothing of the kind')
    with pytest.raises(ConfigError, match='holds no depth model of transformers'):
        DepthPrior(folder, CPU)


def relief(frames: int = 2) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing='ij')
    one = 1.0 + 0.3 * torch.sin(columns / 4) + 0.02 * rows
    return torch.stack([one * (1 + k) for k in range(frames)])


def loss(inverse: torch.Tensor, targets: ShapeTargets) -> float:
    maps = Maps(inverse.log(), torch.zeros(len(inverse), 1, 1, 0), 240, 160)
    return float(targets.draw(1000, np.random.default_rng(0)).loss(maps))


def test_scale_and_shift_of_each_frame_are_free_but_not_the_sign() -> None:
    shape = relief()
    targets = ShapeTargets(shape, torch.ones(shape.shape, dtype=torch.bool))
    assert isinstance(targets, Targets)
    right = loss(shape, targets)
    assert right < 0.02
    moved = torch.stack([3.0 * shape[0] + 0.5, 0.2 * shape[1] + 0.1])
    assert loss(moved, targets) < 0.03
    assert loss(4.0 - shape / shape.amax((1, 2), keepdim=True), targets) > 0.3


def test_masked_pixels_do_not_count() -> None:
    shape = relief()
    wrong = shape.clone()
    wrong[:, :, :8] = 50.0
    usable = torch.ones(shape.shape, dtype=torch.bool)
    usable[:, :, :8] = False
    assert loss(wrong, ShapeTargets(shape, usable)) < 0.02


def test_flat_depth_is_drawn_to_the_shape() -> None:
    shape = relief()
    targets = ShapeTargets(shape, torch.ones(shape.shape, dtype=torch.bool))
    log_inverse = torch.zeros(shape.shape, requires_grad=True)
    adam = torch.optim.Adam([log_inverse], lr=0.02)
    random = np.random.default_rng(0)
    for _ in range(150):
        adam.zero_grad()
        maps = Maps(log_inverse, torch.zeros(2, 1, 1, 0), 240, 160)
        targets.draw(1000, random).loss(maps).backward()
        adam.step()
    pairs = zip(log_inverse.detach().exp(), shape, strict=True)
    for found, true in pairs:
        assert np.corrcoef(found.ravel().numpy(), true.ravel().numpy())[0, 1] > 0.97
