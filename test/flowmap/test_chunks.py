# SPDX-License-Identifier: Apache-2.0
"""Going through the frames in chunks changes neither maps nor gradients, and bounds the memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from flowcam_ros.flowmap.chunks import ChunkRunner
from flowcam_ros.flowmap.depth_model import ExplicitDepth, NetworkDepth, Output
from flowcam_ros.flowmap.maps import Maps
from flowcam_ros.flowmap.network import DepthNetwork

FRAMES, SIZE = 7, (64, 32)


def network() -> NetworkDepth:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (FRAMES, 32, 64, 3), np.uint8)
    torch.manual_seed(1)
    net = DepthNetwork()
    torch.nn.init.normal_(net.depth.weight, std=0.05)
    return NetworkDepth(torch.from_numpy(pictures), net, torch.device('cpu'))


def loss_of(maps: Maps) -> Tensor:
    """Return a loss in which all frames act on each other."""
    mean = maps.log_inverse.mean((1, 2))
    return (mean[:, None] - mean.detach().roll(1)).exp().mean() + (
        maps.features.mean((1, 2)).cumsum(0).square().mean()
    )


@pytest.fixture(scope='module')
def whole() -> tuple[Maps, list[Tensor]]:
    """Return maps and gradients of all frames at once, by autograd alone."""
    model = network()
    depth, features = model.maps(slice(0, FRAMES))
    loss_of(Maps(depth, features, *SIZE)).backward()
    return Maps(depth.detach(), features.detach(), *SIZE), [
        p.grad for p in model.parameters() if p.grad is not None
    ]


@pytest.mark.parametrize('workers', [1, 3])
@pytest.mark.parametrize('held', [3, 100])
@pytest.mark.parametrize('chunk', [1, 3, 16])
def test_chunks_give_the_gradient_of_the_whole(
    whole: tuple[Maps, list[Tensor]], chunk: int, held: int, workers: int
) -> None:
    model = network()
    chunked = ChunkRunner(model, chunk, held, workers, SIZE).run()
    assert torch.allclose(chunked.maps.log_inverse, whole[0].log_inverse, atol=1e-5)
    assert torch.allclose(chunked.maps.features, whole[0].features, atol=1e-5)
    loss_of(chunked.maps).backward()
    chunked.backward()
    largest = max(float(g.abs().max()) for g in whole[1])
    for parameter, expected in zip(model.parameters(), whole[1], strict=True):
        assert parameter.grad is not None
        assert float((parameter.grad - expected).abs().max()) < 1e-5 * max(largest, 1.0)


def test_a_second_backward_adds_up() -> None:
    model = network()
    runner = ChunkRunner(model, 2, 2, 1, SIZE)
    sums = []
    for _ in range(2):
        chunked = runner.run()
        loss_of(chunked.maps).backward()
        chunked.backward()
        sums.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one, two in zip(*sums, strict=True):
        assert torch.allclose(2 * one, two, rtol=1e-4, atol=1e-6)


def test_a_model_without_features_is_carried_through() -> None:
    model = ExplicitDepth(FRAMES, 32, 64, torch.device('cpu'))
    chunked = ChunkRunner(model, 2, 2, 1, SIZE).run()
    (chunked.maps.log_inverse * torch.arange(FRAMES)[:, None, None]).sum().backward()
    chunked.backward()
    gradient = model.parameters()[0].grad
    assert gradient is not None
    assert torch.equal(gradient, torch.arange(FRAMES).float()[:, None, None].expand(-1, 32, 64))


class Counting:
    """A model that counts the frames whose graph is alive, and on how many threads it works."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._weight = torch.nn.Parameter(torch.ones(()))
        self._lock = threading.Lock()
        self.alive = self.most = self.runs = 0

    def __len__(self) -> int:
        return self._frames

    def parameters(self) -> list[torch.nn.Parameter]:
        return [self._weight]

    def maps(self, frames: slice) -> Output:
        count = frames.stop - frames.start
        with self._lock:
            self.runs += count
        if torch.is_grad_enabled():
            self.took(count)
        depth = _Held.apply(self._weight, self, count)
        return depth, depth.new_zeros(count, 1, 1, 0)

    def took(self, count: int) -> None:
        with self._lock:
            self.alive += count
            self.most = max(self.most, self.alive)


class _Held(torch.autograd.Function):
    """Tells the model when the activations of a chunk are done with."""

    @staticmethod
    def forward(ctx, weight: Tensor, model: Counting, count: int) -> Tensor:  # type: ignore[override]
        ctx.model, ctx.count = model, count
        return weight.expand(count, 4, 4).clone()

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        ctx.model.took(-ctx.count)
        return gradient.sum(), None, None


@pytest.mark.parametrize(
    ('frames', 'chunk', 'held', 'workers'), [(40, 4, 8, 1), (40, 16, 8, 2), (40, 3, 2, 4)]
)
def test_activations_of_no_more_frames_than_allowed_are_held(
    frames: int, chunk: int, held: int, workers: int
) -> None:
    model = Counting(frames)
    chunked = ChunkRunner(model, chunk, held, workers, SIZE).run()
    assert model.alive == 0  # the first pass leaves nothing
    chunked.maps.log_inverse.sum().backward()
    chunked.backward()
    assert model.alive == 0
    assert 0 < model.most <= max(held, workers)
    assert model.runs == 2 * frames
    assert float(model.parameters()[0].grad) == frames * 16


def test_where_all_may_be_held_none_is_run_twice() -> None:
    model = Counting(10)
    chunked = ChunkRunner(model, 4, 10, 1, SIZE).run()
    assert model.alive == 10
    chunked.maps.log_inverse.sum().backward()
    chunked.backward()
    assert model.alive == 0 and model.runs == 10


def test_frozen_maps_hold_nothing() -> None:
    model = Counting(10)
    maps = ChunkRunner(model, 4, 10, 2, SIZE).frozen()
    assert model.alive == 0 and not maps.log_inverse.requires_grad
