# SPDX-License-Identifier: Apache-2.0
"""Where depth comes from: the networks, free numbers, and maps between their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exact_views import HEIGHT, WIDTH, ExactViews, lens, walk
from safetensors.torch import save_file

from flowcam_ros.errors import ConfigError
from flowcam_ros.flowmap.depth_model import (
    DEPTH_MODELS,
    ExplicitDepth,
    NetworkDepth,
    SceneDepth,
    precision_on,
    start_network,
)
from flowcam_ros.flowmap.maps import Maps, bilinear
from flowcam_ros.flowmap.network import FEATURES, DepthNetwork, MatchWeights
from flowcam_ros.flowmap.refine_config import ModelConfig

CPU = torch.device('cpu')


def pictures(frames: int = 3) -> torch.Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (frames, 64, 96, 3), np.uint8))


@pytest.mark.parametrize('name', list(DEPTH_MODELS))
def test_every_model_begins_with_the_same_depth_everywhere(name: str) -> None:
    model = DEPTH_MODELS[name](ModelConfig(), pictures(), CPU)
    assert isinstance(model, SceneDepth)
    assert len(model) == 3
    depth, features = model.maps(slice(0, 2))
    assert depth.shape == (2, 64, 96) and not depth.any()
    assert features.shape[0] == 2
    assert features.shape[-1] == (FEATURES if name == 'network' else 0)


@pytest.mark.parametrize('name', list(DEPTH_MODELS))
def test_every_model_learns_a_given_depth(name: str) -> None:
    torch.manual_seed(0)
    model = DEPTH_MODELS[name](ModelConfig(), pictures(1), CPU)
    wanted = torch.linspace(-1.0, 0.5, 96).expand(1, 64, 96)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        adam.zero_grad()
        loss = (model.maps(slice(0, 1))[0] - wanted).square().mean()
        loss.backward()
        adam.step()
    assert float(loss.detach()) < 0.1 * float(wanted.square().mean())


def test_what_the_network_says_of_a_picture_does_not_depend_on_its_company() -> None:
    torch.manual_seed(0)
    network = DepthNetwork()
    torch.nn.init.normal_(network.depth.weight, std=0.1)
    model = NetworkDepth(pictures(), network, CPU)
    with torch.no_grad():
        together = model.maps(slice(0, 3))
        alone = [model.maps(slice(k, k + 1)) for k in range(3)]
    for part in (0, 1):
        joined = torch.cat([a[part] for a in alone])
        assert torch.allclose(together[part], joined, atol=1e-5)


def test_free_depth_is_one_number_a_pixel() -> None:
    model = ExplicitDepth(2, 8, 10, CPU)
    model.maps(slice(1, 2))[0][0, 3, 4].backward()
    gradient = model.parameters()[0].grad
    assert gradient is not None
    assert gradient.nonzero().tolist() == [[1, 3, 4]]


def test_trust_begins_alike_and_lies_between_nothing_and_full() -> None:
    torch.manual_seed(0)
    trust = MatchWeights()
    one, other = torch.randn(2, 50, FEATURES).unbind(0)
    first = trust(one, other)
    assert first.shape == (50,)
    assert torch.allclose(first, first[:1].expand(50))
    torch.nn.init.normal_(trust.layers[-1].weight)
    later = trust(one, other)
    assert 0.0 < float(later.min().detach()) < float(later.max().detach()) < 1.0


def test_maps_are_read_exactly_at_their_pixels_and_in_line_between_them() -> None:
    random = np.random.default_rng(0)
    maps = torch.from_numpy(random.normal(size=(2, 4, 6, 3))).float()
    x, y, frame = torch.tensor([0.0, 5.0, 2.0]), torch.tensor([0.0, 3.0, 1.0]), [0, 1, 1]
    at = (torch.stack([x, y], -1) + 0.5) / torch.tensor([6.0, 4.0])
    index = torch.tensor(frame)
    assert torch.allclose(bilinear(maps, index, at), maps[index, y.long(), x.long()], atol=1e-6)
    between = (torch.tensor([[2.25, 1.5]]) + 0.5) / torch.tensor([6.0, 4.0])
    corners = maps[0, 1:3, 2:4].mean(0)
    expected = 0.75 * corners[0] + 0.25 * corners[1]
    assert torch.allclose(bilinear(maps, torch.tensor([0]), between)[0], expected, atol=1e-6)


def test_beyond_the_rim_maps_are_as_at_the_rim() -> None:
    maps = torch.arange(12.0).reshape(1, 3, 4, 1)
    outside = torch.tensor([[-3.0, -3.0], [2.0, 2.0], [0.5, 9.0]])
    found = bilinear(maps, torch.zeros(3, dtype=torch.int64), outside)[:, 0]
    assert found.tolist() == [0.0, 11.0, 9.5]


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (1, 5), (5, 1)])
def test_maps_of_a_single_row_or_column_can_be_read(height: int, width: int) -> None:
    maps = torch.ones(1, height, width, 2)
    at = torch.rand(7, 2)
    assert (bilinear(maps, torch.zeros(7, dtype=torch.int64), at) == 1.0).all()


@pytest.mark.parametrize('share', [1, 2])
def test_depth_at_pixels_of_the_tracking_picture_is_that_of_the_world(share: int) -> None:
    views = ExactViews(walk(3), lens())
    maps = views.maps(WIDTH // share, HEIGHT // share)
    random = np.random.default_rng(0)
    pixels = random.uniform((4, 4), (WIDTH - 5, HEIGHT - 5), (200, 2))
    found = maps.inverse_depth(torch.full((200,), 2), torch.from_numpy(pixels).float())
    assert 1.0 / found.numpy() == pytest.approx(views.depth(2, pixels), rel=2e-4)


def test_features_are_read_at_pixels_of_the_tracking_picture() -> None:
    features = torch.zeros(1, 60, 80, 2)
    features[0, :, :, 0] = torch.arange(80.0)
    maps = Maps(torch.zeros(1, 8, 8), features, WIDTH, HEIGHT)
    found = maps.feature(torch.tensor([0]), torch.tensor([[4 * 31 + 1.5, 100.0]]))
    assert found[0].tolist() == pytest.approx([31.0, 0.0])


@pytest.mark.parametrize('name', list(DEPTH_MODELS))
def test_depth_is_turned_inside_out(name: str) -> None:
    torch.manual_seed(0)
    model = DEPTH_MODELS[name](ModelConfig(), pictures(1), CPU)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        before = model.maps(slice(0, 1))[0].clone()
        model.invert()
    assert float(before.abs().max()) > 0.01
    assert torch.allclose(model.maps(slice(0, 1))[0], -before, atol=1e-6)


def test_halves_change_depth_little_and_its_gradient_is_whole() -> None:
    """The way that CUDA takes, on the CPU: inner layers in bfloat16, depth in float32."""
    torch.manual_seed(0)
    network = DepthNetwork()
    torch.nn.init.normal_(network.depth.weight, 0.0, 0.05)
    found = []
    for precision in (torch.float32, torch.bfloat16):
        model = NetworkDepth(pictures(1), network, CPU, precision)
        depth, features = model.maps(slice(0, 1))
        assert depth.dtype == features.dtype == torch.float32
        gradient = torch.autograd.grad(depth.square().mean(), model.parameters()[0])[0]
        assert gradient.dtype == torch.float32 and bool(torch.isfinite(gradient).all())
        found.append(depth.detach())
    assert 0 < float((found[0] - found[1]).abs().max()) < 0.05 * float(found[0].abs().max())
    # not only the few values that halves have between 0.5 and 1
    assert len(found[1].unique()) > 1000


def test_precision_follows_the_device_unless_it_is_chosen() -> None:
    assert precision_on(ModelConfig(), CPU) is torch.float32
    assert precision_on(ModelConfig(precision='bfloat16'), CPU) is torch.bfloat16
    cuda = torch.device('cuda')
    assert precision_on(ModelConfig(precision='float32'), cuda) is torch.float32


def test_a_network_can_start_from_its_own_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = DepthNetwork()
    path = tmp_path / 'network.safetensors'
    save_file(network.state_dict(), path)
    found = start_network(ModelConfig(start_weights=str(path)))
    for one, other in zip(found.parameters(), network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    path = tmp_path / 'network.safetensors'
    state = DepthNetwork().state_dict()
    state['features.weight'] = torch.zeros(3, 3)
    save_file(state, path)
    with pytest.raises(ConfigError, match=r'model.start_weights: .*features.weight has the shape'):
        start_network(ModelConfig(start_weights=str(path)))
    with pytest.raises(ConfigError, match=r'model.start_weights: .* is not there'):
        start_network(ModelConfig(start_weights=str(tmp_path / 'no')))
