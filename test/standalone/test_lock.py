# SPDX-License-Identifier: Apache-2.0
"""The pinned versions are those of a machine without CUDA."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

STANDALONE = Path(__file__).resolve().parents[2] / 'standalone'
BRINGS_CUDA = re.compile(r'(torch(?!==)|torchvision|torchmetrics|gsplat|nvidia|triton|cuda)', re.I)


def test_nothing_that_is_built_on_torch_is_resolved() -> None:
    pytest.importorskip('tomllib')
    spec = importlib.util.spec_from_file_location('lock', STANDALONE / 'lock.py')
    assert spec is not None and spec.loader is not None
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    required = lock._required()
    assert any(line.startswith('numpy') for line in required)
    assert any(line.startswith('pytest') for line in required)
    assert not [line for line in required if BRINGS_CUDA.match(line) or line.startswith('torch')]


def test_no_build_for_cuda_is_pinned() -> None:
    pins = (STANDALONE / 'constraints.txt').read_text().splitlines()
    assert not [line for line in pins if BRINGS_CUDA.match(line)]
