# SPDX-License-Identifier: Apache-2.0
"""RAFT with random weights: sizes, determinism, and every way its weights can be wrong.

How good its flow is depends on the published weights, which no test can bring along.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flowcam_ros.correspondence import raft
from flowcam_ros.correspondence.config import FlowConfig
from flowcam_ros.correspondence.flow import FlowEstimator, estimate_flow
from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.errors import ConfigError

CHANGED = 'update_block.flow_head.conv2.weight'


@pytest.fixture(scope='module')
def models() -> Any:
    """Return torchvision's flow models; skip where they cannot be had."""
    pytest.importorskip('safetensors', reason='safetensors is not installed: no RAFT')
    try:
        from torchvision.models import optical_flow
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f'torchvision is not installed or does not fit torch: no RAFT ({error})')
    return optical_flow


def tensors(models: Any, name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return getattr(models, name)(weights=None).state_dict()


def saved(path: Path, weights: dict[str, torch.Tensor]) -> str:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return str(path)


@pytest.fixture(scope='module')
def small(models: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp('raft')
    return saved(folder / 'small.safetensors', tensors(models, 'raft_small'))


def config(weights: str) -> FlowConfig:
    return FlowConfig(backend='raft', weights=weights, updates=2)


def pictures(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    pair = np.random.default_rng(0).integers(0, 256, (2, height, width), np.uint8)
    return pair[0], pair[1]


@pytest.mark.parametrize('size', [(32, 32), (130, 171), (136, 160)])
def test_any_size_that_frames_may_have(small: str, size: tuple[int, int]) -> None:
    flow = estimate_flow(make_flow(config(small)), *pictures(*size))
    assert flow.displacement.shape == (*size, 2)
    assert flow.displacement.dtype == np.float32
    assert flow.confidence.shape == size
    assert np.isfinite(flow.displacement).all()
    assert flow.confidence.min() >= 0
    assert flow.confidence.max() <= 1


def test_it_follows_the_protocol_and_gives_the_same_twice(small: str) -> None:
    source, target = pictures(136, 160)
    first, second = make_flow(config(small)), make_flow(config(small))
    assert isinstance(first, FlowEstimator)
    start = np.full((136, 160, 2), 7.0, np.float32)
    one, two = first.displacement(source, target), second.displacement(source, target, start)
    np.testing.assert_array_equal(one, two)
    assert (start == 7.0).all()


def test_the_flow_is_that_of_the_model_itself(models: Any, small: str) -> None:
    source, target = pictures(136, 160)
    torch.manual_seed(0)
    model = models.raft_small(weights=None).eval()
    pair = [torch.from_numpy(i)[None, None].expand(-1, 3, -1, -1) for i in (source, target)]
    with torch.inference_mode():
        expected = model(*(2.0 * p / 255.0 - 1.0 for p in pair), num_flow_updates=2)[-1][0]
    found = make_flow(config(small)).displacement(source, target)
    np.testing.assert_allclose(found, expected.permute(1, 2, 0).numpy(), rtol=1e-3, atol=1e-3)


def test_the_weights_decide_which_model_it_is(models: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / 'large.safetensors', tensors(models, 'raft_large'))
    flow = make_flow(config(path))
    assert np.isfinite(flow.displacement(*pictures(128, 128))).all()


def test_without_weights_it_says_what_to_do(models: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'flow.weights: .*needs the path.*docs/backends.md'):
        make_flow(config(''))
    with pytest.raises(ConfigError, match=r'no.safetensors is not there.*docs/backends.md'):
        make_flow(config(str(tmp_path / 'no.safetensors')))


def test_a_file_of_another_kind_is_refused(models: Any, tmp_path: Path) -> None:
    file = tmp_path / 'weights.pth'
    file.write_bytes(b'PK\x03\x04' + bytes(100))
    with pytest.raises(ConfigError, match=r'weights.pth is not a safetensors file'):
        make_flow(config(str(file)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda w: w.pop(CHANGED), f'raft_small: tensor {CHANGED} is missing'),
        (lambda w: w.update({CHANGED: w[CHANGED][:1]}), rf'tensor {CHANGED} has the shape \(1, '),
        (lambda w: w.update(extra=torch.ones(1)), 'tensor extra is unknown'),
        (lambda w: w.update({CHANGED: w[CHANGED] * np.nan}), f'{CHANGED} holds NaN'),
        (lambda w: w.pop(raft._FIRST_LAYER), f'has no tensor {raft._FIRST_LAYER}: not of RAFT'),
        (
            lambda w: w.update({raft._FIRST_LAYER: torch.ones(48, 3, 7, 7)}),
            'has 48 channels; raft_small has 32',
        ),
    ],
    ids=['missing', 'shape', 'unknown', 'nan', 'not raft', 'neither model'],
)
def test_tensors_that_do_not_fit_are_named(
    models: Any, tmp_path: Path, change: Any, message: str
) -> None:
    weights = dict(tensors(models, 'raft_small'))
    change(weights)
    path = saved(tmp_path / 'bad.safetensors', weights)
    with pytest.raises(ConfigError, match=message):
        make_flow(config(path))


def test_a_missing_torchvision_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    monkeypatch.delitem(sys.modules, 'torchvision.models', raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'flowcam_ros\[raft\]'"):
        make_flow(config('any'))


def test_a_torchvision_of_another_build_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r'torchvision::nms.*made for this torch'):
        make_flow(config('any'))
